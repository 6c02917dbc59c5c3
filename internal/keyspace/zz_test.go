package keyspace_test
import ("testing";"time";"strconv";"os";"triggerd/internal/keyspace")
func TestZZ(t *testing.T){
 n,_:=strconv.Atoi(os.Getenv("N"))
 in:=keyspace.New(keyspace.Config{Need: needAll, MaxMirror: 16 << 30})
 in.SnapshotBegin(); in.SnapshotEnd(nil,&keyspace.SnapshotKey{Time:start})
 in.Journal(true)
 for i:=0;i<n;i++{ in.Command(nil,&keyspace.Command{Args:[][]byte{[]byte("SET"),strconv.AppendInt([]byte("key:"),int64(i),10),[]byte("value of it")},Time:start}) }
 for r:=0;r<3;r++{
  b:=time.Now()
  in.Cut(true, func(b []byte)[]byte{return b[:0]})
  c:=time.Since(b); b=time.Now(); m:=time.Duration(0); k:=0
  for { s:=time.Now(); d:=in.TellCut(16<<10); m=max(m,time.Since(s)); k++; if d {break} }
  t.Log(n,"cut",c,"tell",time.Since(b),"steps",k,"longest",m)
 }
}
