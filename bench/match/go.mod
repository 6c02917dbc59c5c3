module triggerd/bench/match

go 1.26.0

require triggerd v0.0.0

require (
	github.com/expr-lang/expr v1.17.8
	github.com/gobwas/glob v1.1.0
)

require (
	github.com/BurntSushi/toml v1.6.0 // indirect
	github.com/robfig/cron/v3 v3.0.1 // indirect
)

replace triggerd => ../..
