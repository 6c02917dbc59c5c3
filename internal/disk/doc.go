// Package disk is the few things that are done to a disk where files are appended
// to and removed, and where it matters what of that outlives the machine.
//
//	f, err := disk.System.Create(path)
//	f.Write(b)
//	f.Sync()                    // the bytes outlive the machine,
//	disk.System.SyncDir(dir)    // and now the file's name does, too
//
// Who takes an FS for a parameter can be given one that fails, fills up, or loses
// its power: see package disktest.
package disk
