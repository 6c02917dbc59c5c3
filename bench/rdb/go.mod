module triggerd/bench/rdb

go 1.26.0

require triggerd v0.0.0

require (
	github.com/cupcake/rdb v0.0.0-20161107195141-43ba34106c76
	gopkg.in/check.v1 v1.0.0-20201130134442-10cb98267c6c // indirect
)

replace triggerd => ../..
