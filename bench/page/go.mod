module triggerd/bench/page

go 1.26.0

require triggerd v0.0.0

replace triggerd => ../..
