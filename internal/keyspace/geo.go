package keyspace

import (
	"cmp"
	"math"
	"slices"

	"triggerd/internal/geo"
)

var geoCommands = []command{
	{name: "GEOADD", arity: -5, acl: "@geo @slow @write", keys: firstKey,
		events: onKey("zadd", typeZset), apply: (*call).undecided, instead: `event "zadd" (it arrives as ZADD)`},
	{name: "GEODIST", arity: -4, acl: "@geo @read @slow", keys: firstKey},
	{name: "GEOHASH", arity: -2, acl: "@geo @read @slow", keys: firstKey},
	{name: "GEOPOS", arity: -2, acl: "@geo @read @slow", keys: firstKey},
	{name: "GEORADIUS", arity: -6, acl: "@geo @slow @write", keys: []keySpec{{begin: 1}, {keyword: "STORE", begin: 6}, {keyword: "STOREDIST", begin: 6}},
		events: madeBy((*call).georadiusEvents, "georadiusstore", "del"), follow: (*call).georadius, replaces: overwrites},
	{name: "GEORADIUSBYMEMBER", arity: -5, acl: "@geo @slow @write", keys: []keySpec{{begin: 1}, {keyword: "STORE", begin: 5}, {keyword: "STOREDIST", begin: 5}},
		events: madeBy((*call).georadiusbymemberEvents, "georadiusstore", "del"), follow: (*call).georadiusbymember, replaces: overwrites},
	{name: "GEORADIUSBYMEMBER_RO", arity: -5, acl: "@geo @read @slow", keys: firstKey},
	{name: "GEORADIUS_RO", arity: -6, acl: "@geo @read @slow", keys: firstKey},
	{name: "GEOSEARCH", arity: -7, acl: "@geo @read @slow", keys: firstKey},
	{name: "GEOSEARCHSTORE", arity: -8, acl: "@geo @slow @write", keys: twoKeys,
		events: onKey("geosearchstore", "", "del"), follow: (*call).geosearchstore, replaces: overwrites},
}

func (c *call) georadiusEvents()         { c.storedPlacesEvents(6) }
func (c *call) georadiusbymemberEvents() { c.storedPlacesEvents(5) }

// storedPlacesEvents: GEORADIUS writes only with STORE or STOREDIST. Options begin at
// an index.
func (c *call) storedPlacesEvents(options int) {
	if at := geoDestination(c.args, options); at > 0 {
		c.emit(at, "georadiusstore", "")
	}
}

// geoDestination returns the index of the key that GEORADIUS stores into, 0 for
// none: the last option wins.
func geoDestination(args [][]byte, options int) int {
	at := 0
	for i := options; i < len(args)-1; i++ {
		if is(args[i], "STORE") || is(args[i], "STOREDIST") {
			i++
			at = i
		}
	}
	return at
}

func (c *call) geosearchstore() { c.storePlaces(1, 2, (*geoSearch).parse) }
func (c *call) georadius()      { c.storePlaces(geoDestination(c.args, 6), 1, (*geoSearch).parseRadius) }
func (c *call) georadiusbymember() {
	c.storePlaces(geoDestination(c.args, 5), 1, (*geoSearch).parseRadiusByMember)
}

// storePlaces stores what a search finds. to and from are the indexes of the
// destination and the source.
func (c *call) storePlaces(to, from int, parse func(*geoSearch, [][]byte, *zset) bool) {
	if to == 0 {
		c.announce()
		return
	}
	dst := c.key(to)
	elements, known := c.key(from).source()
	z, isZset := elements.(*zset)
	if !known || !dst.needed() || elements != nil && !isZset {
		c.announce()
		c.lose(dst, maybe, kindZset, &c.lost.Source)
		return
	}
	if z == nil {
		c.storeNothing(dst)
		return
	}
	var search geoSearch
	exists := maybe
	if parse(&search, c.args, z) {
		old := c.in.config.Dialect == Redis && c.in.config.Version.before(Version{Major: 6, Minor: 2})
		members, found, sure := search.placesOf(z, old, &c.in.pace)
		if sure || found == no {
			out := newZset()
			out.addAll(members, &c.in.pace)
			c.storeElements(dst, kindZset, out)
			return
		}
		exists = found
	}
	c.announce()
	c.lose(dst, exists, kindZset, &c.lost.Undecided)
	if exists == yes {
		dst.setDeadline(0, true)
	}
}

// Which places are inside an area is computed here as the servers do, but sines
// may differ in their last bit. So nothing is decided within a hair of an edge.

// hair is in meters, and of the distance.
const hair = 1e-6

// geoSearch is what GEORADIUS, GEORADIUSBYMEMBER and GEOSEARCHSTORE look for.
type geoSearch struct {
	center        geo.Place
	radius        float64 // meters; of a circle
	width, height float64 // of a box
	box           bool
	desc          bool
	count         int64 // 0: all
	loose         bool  // any count of them, or what else only the server can tell
	distances     bool  // are stored as scores

	shaped, centered bool // the options have said so
}

// placesOf finds what is inside and where the server looks: sure tells whether that
// is exact, and exists whether there is anything.
func (g *geoSearch) placesOf(z *zset, old bool, pace *pace) (inside []scored, exists tri, sure bool) {
	type found struct {
		scored
		meters float64
	}
	var all []found
	sure, exists = !g.loose && !g.distances, no
	cells, ok := g.gridOf(old)
	if !ok {
		return nil, maybe, false
	}
	for member, score := range z.scores {
		if pace.stops() {
			return nil, maybe, false
		}
		p, ok := geo.PlaceOf(score)
		if !ok {
			return nil, maybe, false
		}
		if !cells.has(score) {
			continue
		}
		meters, in, near := g.covers(p)
		switch {
		case near && exists == no:
			exists, sure = maybe, false
		case near:
			sure = false
		case in:
			exists = yes
			all = append(all, found{scored{score, member}, meters})
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		if g.desc {
			a, b = b, a
		}
		return cmp.Compare(a.meters, b.meters)
	})
	if n := g.count; n > 0 && n < int64(len(all)) {
		if math.Abs(all[n].meters-all[n-1].meters) < hair*(1+all[n].meters) {
			sure = false
		}
		all = all[:n]
	}
	for _, f := range all {
		inside = append(inside, f.scored)
	}
	return inside, exists, sure
}

// covers tells how far a place is from the center, whether it is inside, and
// whether it is too near the edge to say.
func (g *geoSearch) covers(p geo.Place) (meters float64, in, near bool) {
	if p == g.center { // no sine is taken of it: 0 is in any area, also in one without a size
		return 0, true, false
	}
	meters = geo.Distance(g.center, p)
	margin := func(d, limit float64) (bool, bool) {
		return d <= limit, math.Abs(d-limit) < hair*(1+limit)
	}
	if !g.box {
		in, near = margin(meters, g.radius)
		return meters, in, near
	}
	inLat, nearLat := margin(geo.Earth*math.Abs(geo.Radians(p.Lat-g.center.Lat)), g.height/2)
	inLon, nearLon := margin(geo.Distance(geo.Place{Lon: g.center.Lon, Lat: p.Lat}, p), g.width/2)
	return meters, inLat && inLon, nearLat && (inLon || nearLon) || nearLon && (inLat || nearLat)
}

// unit returns how many meters a unit has.
func unit(b []byte) (float64, bool) {
	switch {
	case is(b, "M"):
		return 1, true
	case is(b, "KM"):
		return 1000, true
	case is(b, "MI"):
		return 1609.34, true
	case is(b, "FT"):
		return 0.3048, true
	}
	return 0, false
}

// length parses a length and its unit.
func length(number, in []byte) (float64, bool) {
	n, ok1 := floatOf(number)
	u, ok2 := unit(in)
	return n * u, ok1 && ok2 && n >= 0
}

// parseRadius understands GEORADIUS key longitude latitude radius unit, and its
// options; false if it cannot.
func (g *geoSearch) parseRadius(args [][]byte, z *zset) bool {
	var ok bool
	g.radius, ok = length(args[4], args[5])
	return ok && g.around(args[2], args[3]) && g.parseOptions(args, 6, z, 1)
}

// parseRadiusByMember understands GEORADIUSBYMEMBER key member radius unit.
func (g *geoSearch) parseRadiusByMember(args [][]byte, z *zset) bool {
	var ok bool
	g.radius, ok = length(args[3], args[4])
	return ok && g.aroundMember(args[2], z) && g.parseOptions(args, 5, z, 1)
}

// parse understands GEOSEARCHSTORE destination source, and its options, which
// say where the center is and what shape the area has.
func (g *geoSearch) parse(args [][]byte, z *zset) bool {
	return g.parseOptions(args, 3, z, 0) && g.shaped && g.centered
}

// around makes a place the center.
func (g *geoSearch) around(lon, lat []byte) bool {
	var ok1, ok2 bool
	g.center.Lon, ok1 = floatOf(lon)
	g.center.Lat, ok2 = floatOf(lat)
	g.centered = true
	return ok1 && ok2
}

// aroundMember makes the place of a member the center.
func (g *geoSearch) aroundMember(member []byte, z *zset) bool {
	score, had := z.scores[string(member)]
	var ok bool
	g.center, ok = geo.PlaceOf(score)
	g.centered = true
	return had && ok
}

// parseOptions understands the options that begin at index i. destination is
// how many words follow STOREDIST.
func (g *geoSearch) parseOptions(args [][]byte, i int, z *zset, destination int) bool {
	at := func(i int) []byte {
		if i < len(args) {
			return args[i]
		}
		return nil
	}
	for ; i < len(args); i++ {
		fine := true
		switch a := args[i]; {
		case is(a, "FROMMEMBER"):
			fine = g.aroundMember(at(i+1), z)
			i++
		case is(a, "FROMLONLAT"):
			fine = g.around(at(i+1), at(i+2))
			i += 2
		case is(a, "BYRADIUS"):
			g.radius, fine = length(at(i+1), at(i+2))
			g.shaped = true
			i += 2
		case is(a, "BYBOX"):
			var ok1, ok2 bool
			g.width, ok1 = length(at(i+1), at(i+3))
			g.height, ok2 = length(at(i+2), at(i+3))
			fine, g.box, g.shaped = ok1 && ok2, true, true
			i += 3
		case is(a, "COUNT"):
			g.count, fine = int64Of(at(i + 1))
			i++
		case is(a, "ANY"):
			g.loose = true
		case is(a, "DESC"):
			g.desc = true
		case is(a, "STOREDIST"):
			g.distances = true
			i += destination
		case is(a, "STORE"):
			g.distances = false
			i++
		case is(a, "ASC"), is(a, "WITHDIST"), is(a, "WITHHASH"), is(a, "WITHCOORD"):
		default:
			fine = false
		}
		if !fine {
			return false
		}
	}
	return true
}
