package keyspace

// how says which code makes a command's events.
type how uint8

const (
	unplanned how = iota // a write command: generic; any other: silent
	silent               // the server announces nothing, and neither do we
	generic              // an event for each key, named after the command
	onKey                // one event on the first key of the first key specification
	onEachKey            // one event on each key of the first key specification
	keyless              // one event that concerns no key
	special              // a function of its own, see Interpreter.special
)

// plan is how a command becomes events. typ is the key's type afterwards where
// the command alone makes it sure; a command that may empty its key has none.
type plan struct {
	how  how
	name string
	typ  string
}

// Types of keys, as the server's TYPE spells them.
const (
	typeString = "string"
	typeList   = "list"
	typeSet    = "set"
	typeZset   = "zset"
	typeHash   = "hash"
	typeStream = "stream"
	typeNone   = "none"
)

// plans is the map from replicated commands to events, from the servers' calls
// of notifyKeyspaceEvent and the recordings in testdata.
var plans = [numIDs]plan{
	// Strings.
	cmdAppend:      {onKey, "append", typeString},
	cmdBitfield:    {onKey, "setbit", typeString},
	cmdBitop:       {onKey, "set", ""},
	cmdDecr:        {onKey, "incrby", typeString},
	cmdDecrby:      {onKey, "incrby", typeString},
	cmdGetset:      {onKey, "set", typeString},
	cmdIncr:        {onKey, "incrby", typeString},
	cmdIncrby:      {onKey, "incrby", typeString},
	cmdIncrbyfloat: {onKey, "incrbyfloat", typeString},
	cmdMset:        {onEachKey, "set", typeString},
	cmdMsetnx:      {onEachKey, "set", typeString},
	cmdMsetex:      {how: special},
	cmdPfadd:       {onKey, "pfadd", typeString},
	cmdPfcount:     {how: silent}, // refreshes a cached count
	cmdPfdebug:     {how: silent},
	cmdPfmerge:     {onKey, "pfadd", typeString},
	cmdPsetex:      {how: special},
	cmdSet:         {how: special},
	cmdSetbit:      {onKey, "setbit", typeString},
	cmdSetex:       {how: special},
	cmdSetnx:       {onKey, "set", typeString},
	cmdSetrange:    {onKey, "setrange", typeString},

	// Keys.
	cmdCopy:          {how: special},
	cmdDel:           {how: special},
	cmdDelex:         {how: special},
	cmdDelifeq:       {how: special},
	cmdExpire:        {onKey, "expire", ""},
	cmdExpireat:      {onKey, "expire", ""},
	cmdGetdel:        {how: special},
	cmdMove:          {how: special},
	cmdPersist:       {onKey, "persist", ""},
	cmdPexpire:       {onKey, "expire", ""},
	cmdPexpireat:     {onKey, "expire", ""},
	cmdRename:        {how: special},
	cmdRenamenx:      {how: special},
	cmdRestore:       {onKey, "restore", ""},
	cmdRestoreAsking: {onKey, "restore", ""},
	cmdSort:          {how: special},
	cmdUnlink:        {how: special},

	// Lists.
	cmdBlmove:     {how: special},
	cmdBrpoplpush: {how: special},
	cmdLinsert:    {onKey, "linsert", typeList},
	cmdLmove:      {how: special},
	cmdLpop:       {onKey, "lpop", ""},
	cmdLpush:      {onKey, "lpush", typeList},
	cmdLpushx:     {onKey, "lpush", typeList},
	cmdLrem:       {onKey, "lrem", ""},
	cmdLset:       {onKey, "lset", typeList},
	cmdLtrim:      {onKey, "ltrim", ""},
	cmdRpop:       {onKey, "rpop", ""},
	cmdRpoplpush:  {how: special},
	cmdRpush:      {onKey, "rpush", typeList},
	cmdRpushx:     {onKey, "rpush", typeList},

	// Sets.
	cmdSadd:        {onKey, "sadd", typeSet},
	cmdSdiffstore:  {onKey, "sdiffstore", ""},
	cmdSinterstore: {onKey, "sinterstore", ""},
	cmdSmove:       {how: special},
	cmdSpop:        {onKey, "spop", ""},
	cmdSrem:        {onKey, "srem", ""},
	cmdSunionstore: {onKey, "sunionstore", ""},

	// Hashes.
	cmdHdel:         {how: special},
	cmdHexpire:      {onKey, "hexpire", typeHash},
	cmdHexpireat:    {onKey, "hexpire", typeHash},
	cmdHgetdel:      {onKey, "hdel", ""},
	cmdHincrby:      {onKey, "hincrby", typeHash},
	cmdHincrbyfloat: {onKey, "hincrbyfloat", typeHash},
	cmdHmset:        {onKey, "hset", typeHash},
	cmdHpersist:     {onKey, "hpersist", typeHash},
	cmdHpexpire:     {onKey, "hexpire", typeHash},
	cmdHpexpireat:   {onKey, "hexpire", typeHash},
	cmdHset:         {onKey, "hset", typeHash},
	cmdHsetex:       {how: special},
	cmdHsetnx:       {onKey, "hset", typeHash},

	// Sorted sets.
	cmdGeoadd:            {onKey, "zadd", typeZset},
	cmdGeoradius:         {how: special},
	cmdGeoradiusbymember: {how: special},
	cmdGeosearchstore:    {onKey, "geosearchstore", ""},
	cmdZadd:              {how: special},
	cmdZdiffstore:        {onKey, "zdiffstore", ""},
	cmdZincrby:           {onKey, "zincr", typeZset},
	cmdZinterstore:       {onKey, "zinterstore", ""},
	cmdZpopmax:           {onKey, "zpopmax", ""},
	cmdZpopmin:           {onKey, "zpopmin", ""},
	cmdZrangestore:       {onKey, "zrangestore", ""},
	cmdZrem:              {onKey, "zrem", ""},
	cmdZremrangebylex:    {onKey, "zremrangebylex", ""},
	cmdZremrangebyrank:   {onKey, "zremrangebyrank", ""},
	cmdZremrangebyscore:  {onKey, "zremrangebyscore", ""},
	cmdZunionstore:       {onKey, "zunionstore", ""},

	// Streams; an empty stream stays.
	cmdXack:                 {how: silent},
	cmdXackdel:              {onKey, "xdel", typeStream},
	cmdXadd:                 {onKey, "xadd", typeStream},
	cmdXautoclaim:           {how: silent},
	cmdXcfgset:              {how: silent},
	cmdXclaim:               {how: silent},
	cmdXdel:                 {onKey, "xdel", typeStream},
	cmdXdelex:               {onKey, "xdel", typeStream},
	cmdXgroupCreate:         {onKey, "xgroup-create", typeStream},
	cmdXgroupCreateconsumer: {onKey, "xgroup-createconsumer", typeStream},
	cmdXgroupDelconsumer:    {onKey, "xgroup-delconsumer", typeStream},
	cmdXgroupDestroy:        {onKey, "xgroup-destroy", typeStream},
	cmdXgroupSetid:          {how: special},
	cmdXidmprecord:          {how: silent},
	cmdXsetid:               {onKey, "xsetid", typeStream},
	cmdXtrim:                {onKey, "xtrim", typeStream},

	// The module that Redis 8 brings along; it announces nothing.
	cmdVadd:     {how: generic, typ: "vectorset"},
	cmdVrem:     {how: generic},
	cmdVsetattr: {how: generic, typ: "vectorset"},

	// What concerns no key: names of our own.
	cmdFlushall:        {keyless, "flushall", ""},
	cmdFlushdb:         {keyless, "flushdb", ""},
	cmdFunctionDelete:  {keyless, "function", ""},
	cmdFunctionFlush:   {keyless, "function", ""},
	cmdFunctionLoad:    {keyless, "function", ""},
	cmdFunctionRestore: {keyless, "function", ""},
	cmdPublish:         {keyless, "publish", ""},
	cmdSpublish:        {keyless, "spublish", ""},
	cmdSwapdb:          {keyless, "swapdb", ""},

	// Scripts are replicated by their effects, except from a Redis 6.0 or
	// older with lua-replicate-commands off: what they did is then unknown.
	cmdEval:    {how: generic},
	cmdEvalsha: {how: generic},
	cmdFcall:   {how: generic},
}

// planOf returns the plan of a command, with unplanned decided.
func planOf(id ID) plan {
	p := plans[id]
	if p.how == unplanned {
		p.how = silent
		if commands[id].write || id == 0 {
			p.how = generic
		}
	}
	return p
}
