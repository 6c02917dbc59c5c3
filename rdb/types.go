package rdb

import "strconv"

// Type is what a key holds, as the servers' TYPE command has it.
type Type uint8

// The types. Their texts (String) are the servers' own words.
const (
	TypeString Type = iota + 1
	TypeList
	TypeSet
	TypeZSet
	TypeHash
	TypeStream
	TypeModule // the type of a module; Element of kind ModuleName tells which
	TypeArray  // of Redis 8.8 and later
)

var typeNames = [...]string{"invalid", "string", "list", "set", "zset", "hash", "stream", "module", "array"}

// String returns the type's name: "string", "list", "set", "zset", "hash",
// "stream", "module" or "array".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "Type(" + strconv.Itoa(int(t)) + ")"
}

// Encoding is how the snapshot stores a value. The texts are, where there is
// one, those of the servers' OBJECT ENCODING; but a server may store a value
// in another way than it holds it in memory, and an older format may have been
// replaced when it was loaded.
type Encoding uint8

// The encodings.
const (
	EncodingRaw        Encoding = iota + 1 // string of bytes, perhaps compressed
	EncodingInt                            // string that is an integer of 8, 16 or 32 bits
	EncodingLinkedList                     // list, element by element
	EncodingZiplist                        // list, zset or hash
	EncodingQuicklist                      // list of ziplists or listpacks
	EncodingHashTable                      // set or hash, element by element
	EncodingIntSet                         // set
	EncodingListpack                       // set, zset or hash
	EncodingListpackEx                     // hash, some of its fields with an expiry
	EncodingSkipList                       // zset, element by element
	EncodingZipmap                         // hash, before Redis 2.6
	EncodingStream                         // stream
	EncodingModule                         // module
	EncodingArray                          // array
)

var encodingNames = [...]string{
	"invalid", "raw", "int", "linkedlist", "ziplist", "quicklist", "hashtable", "intset", "listpack", "listpackex",
	"skiplist", "zipmap", "stream", "module", "array",
}

// String returns the encoding's name: "raw", "int", "linkedlist", "ziplist",
// "quicklist", "hashtable", "intset", "listpack", "listpackex", "skiplist",
// "zipmap", "stream", "module" or "array".
func (e Encoding) String() string {
	if int(e) < len(encodingNames) {
		return encodingNames[e]
	}
	return "Encoding(" + strconv.Itoa(int(e)) + ")"
}

// The value types of the format (rdb.h). The gaps are not types: 8 was never
// used, 6 was in release candidates of Redis 4.0 only and cannot be walked. 29 to
// 32, Redis 8.10's hashes that share their field names, are not known here: they
// changed between its release candidates.
const (
	typString          = 0
	typList            = 1
	typSet             = 2
	typZSet            = 3
	typHash            = 4
	typZSet2           = 5
	typModule2         = 7
	typHashZipmap      = 9
	typListZiplist     = 10
	typSetIntset       = 11
	typZSetZiplist     = 12
	typHashZiplist     = 13
	typListQuicklist   = 14
	typStream          = 15
	typHashListpack    = 16
	typZSetListpack    = 17
	typListQuicklist2  = 18
	typStream2         = 19
	typSetListpack     = 20
	typStream3         = 21
	typHash22          = 22 // Redis 7.4-rc: hash with field expiries; Valkey 9: another layout of the same
	typHashListpackEx0 = 23 // Redis 7.4-rc: no minimum in front
	typHashMetadata    = 24
	typHashListpackEx  = 25
	typStream4         = 26
	typStream5         = 27
	typArray           = 28
)

// kinds tells type and encoding of each value type; the zero Type: unknown.
var kinds = [256]struct {
	typ Type
	enc Encoding
}{
	typString:          {TypeString, EncodingRaw},
	typList:            {TypeList, EncodingLinkedList},
	typSet:             {TypeSet, EncodingHashTable},
	typZSet:            {TypeZSet, EncodingSkipList},
	typHash:            {TypeHash, EncodingHashTable},
	typZSet2:           {TypeZSet, EncodingSkipList},
	typModule2:         {TypeModule, EncodingModule},
	typHashZipmap:      {TypeHash, EncodingZipmap},
	typListZiplist:     {TypeList, EncodingZiplist},
	typSetIntset:       {TypeSet, EncodingIntSet},
	typZSetZiplist:     {TypeZSet, EncodingZiplist},
	typHashZiplist:     {TypeHash, EncodingZiplist},
	typListQuicklist:   {TypeList, EncodingQuicklist},
	typStream:          {TypeStream, EncodingStream},
	typHashListpack:    {TypeHash, EncodingListpack},
	typZSetListpack:    {TypeZSet, EncodingListpack},
	typListQuicklist2:  {TypeList, EncodingQuicklist},
	typStream2:         {TypeStream, EncodingStream},
	typSetListpack:     {TypeSet, EncodingListpack},
	typStream3:         {TypeStream, EncodingStream},
	typHash22:          {TypeHash, EncodingHashTable},
	typHashListpackEx0: {TypeHash, EncodingListpackEx},
	typHashMetadata:    {TypeHash, EncodingHashTable},
	typHashListpackEx:  {TypeHash, EncodingListpackEx},
	typStream4:         {TypeStream, EncodingStream},
	typStream5:         {TypeStream, EncodingStream},
	typArray:           {TypeArray, EncodingArray},
}
