package keyspace

// Lose makes unknown what a command may have changed, of which it turned out that
// the server has not run it: each key that it names, in every database, since it is
// not known any more which was selected. A command that reaches others makes
// everything unknown.
func (in *Interpreter) Lose(sent *Command) {
	mi := in.mirror
	if mi == nil || len(sent.Args) == 0 {
		return
	}
	if in.hasRest() {
		in.abandonRest()
	}
	cmd := commandOf(sent.Args)
	if cmd.everywhere || cmd.anyArgument {
		mi.loseAll(&mi.losses.Rewound)
		return
	}
	one := *sent
	for db := range mi.dbs {
		one.DB = db
		if !mi.wants(cmd, one.Args, db) {
			continue
		}
		c := &in.call
		c.start(cmd, &one, nil)
		c.begin(one.Time)
		c.loseNamed(&c.lost.Rewound)
		c.finish()
		c.end()
	}
}
