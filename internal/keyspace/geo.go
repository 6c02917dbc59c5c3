package keyspace

import (
	"cmp"
	"math"
	"slices"
)

// A place is a sorted set's member whose score interleaves 26 bits of longitude
// and of latitude: the number of a cell, whose middle the place is taken to be.
// Which places are inside an area is computed here as the servers do, but sines
// may differ in their last bit. So nothing is decided within a hair of an edge.

const (
	geoBits   = 26
	maxLat    = 85.05112878 // of the projection
	earth     = 6372797.560856
	hair      = 1e-6      // meters, and of the distance
	geoLimit  = 4_000_000 // meters: beyond, the servers' own search is not exact
	halfCells = 1 << (geoBits - 1)
)

// place is a point on the globe, in degrees.
type place struct{ lon, lat float64 }

// placeOf returns the place that a score stands for.
func placeOf(score float64) (place, bool) {
	if score < 0 || score >= 1<<(2*geoBits) || score != math.Trunc(score) {
		return place{}, false
	}
	bits := uint64(score)
	var lat, lon uint64
	for i := range geoBits {
		lat |= bits >> (2 * i) & 1 << i
		lon |= bits >> (2*i + 1) & 1 << i
	}
	middle := func(cell uint64, most float64) float64 {
		width := 2 * most / (2 * halfCells)
		return -most + (float64(cell)+0.5)*width
	}
	return place{lon: middle(lon, 180), lat: middle(lat, maxLat)}, true
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// distance is that on a great circle, in meters.
func distance(a, b place) float64 {
	u := math.Sin(radians(b.lat-a.lat) / 2)
	v := math.Sin(radians(b.lon-a.lon) / 2)
	return 2 * earth * math.Asin(math.Sqrt(u*u+math.Cos(radians(a.lat))*math.Cos(radians(b.lat))*v*v))
}

// geoSearch is what GEORADIUS, GEORADIUSBYMEMBER and GEOSEARCHSTORE look for.
type geoSearch struct {
	center        place
	radius        float64 // meters; of a circle
	width, height float64 // of a box
	box           bool
	desc          bool
	count         int64 // 0: all
	loose         bool  // any count of them, or what else only the server can tell
	distances     bool  // are stored as scores
}

// placesOf finds what is inside: sure tells whether that is exact, and exists
// whether there is anything.
func (g *geoSearch) placesOf(z *zset) (inside []scored, exists tri, sure bool) {
	type found struct {
		scored
		meters float64
	}
	var all []found
	sure, exists = !g.loose && !g.distances, no
	for member, score := range z.scores {
		p, ok := placeOf(score)
		if !ok {
			return nil, maybe, false
		}
		meters, in, near := g.holds(p)
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

// holds tells how far a place is from the center, whether it is inside, and
// whether it is too near the edge to say.
func (g *geoSearch) holds(p place) (meters float64, in, near bool) {
	meters = distance(g.center, p)
	margin := func(d, limit float64) (bool, bool) {
		return d <= limit, math.Abs(d-limit) < hair*(1+limit)
	}
	if !g.box {
		in, near = margin(meters, g.radius)
		return meters, in, near
	}
	inLat, nearLat := margin(earth*math.Abs(radians(p.lat-g.center.lat)), g.height/2)
	inLon, nearLon := margin(distance(place{g.center.lon, p.lat}, p), g.width/2)
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
	return n * u, ok1 && ok2 && n >= 0 && n*u <= geoLimit
}

// parseGeo understands the search of a command that stores; false if it cannot.
func parseGeo(id ID, args [][]byte, z *zset) (g geoSearch, ok bool) {
	at := func(i int) []byte {
		if i < len(args) {
			return args[i]
		}
		return nil
	}
	lonLat := func(i int) bool {
		var ok1, ok2 bool
		g.center.lon, ok1 = floatOf(at(i))
		g.center.lat, ok2 = floatOf(at(i + 1))
		return ok1 && ok2
	}
	member := func(i int) bool {
		score, had := z.scores[string(at(i))]
		g.center, ok = placeOf(score)
		return had && ok
	}
	shaped, centered := id != cmdGeosearchstore, id != cmdGeosearchstore
	i := 3
	switch id {
	case cmdGeoradius:
		g.radius, ok = length(at(4), at(5))
		if i = 6; !ok || !lonLat(2) {
			return g, false
		}
	case cmdGeoradiusbymember:
		radius, ok := length(at(3), at(4))
		if i = 5; !ok || !member(2) {
			return g, false
		}
		g.radius = radius
	}
	for ; i < len(args); i++ {
		fine := true
		switch a := args[i]; {
		case is(a, "FROMMEMBER"):
			fine, centered = member(i+1), true
			i++
		case is(a, "FROMLONLAT"):
			fine, centered = lonLat(i+1), true
			i += 2
		case is(a, "BYRADIUS"):
			g.radius, fine = length(at(i+1), at(i+2))
			shaped = true
			i += 2
		case is(a, "BYBOX"):
			var ok1, ok2 bool
			g.width, ok1 = length(at(i+1), at(i+3))
			g.height, ok2 = length(at(i+2), at(i+3))
			fine, g.box, shaped = ok1 && ok2, true, true
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
			if id != cmdGeosearchstore {
				i++
			}
		case is(a, "STORE"):
			g.distances = false
			i++
		case is(a, "ASC"), is(a, "WITHDIST"), is(a, "WITHHASH"), is(a, "WITHCOORD"):
		default:
			fine = false
		}
		if !fine {
			return g, false
		}
	}
	return g, shaped && centered
}
