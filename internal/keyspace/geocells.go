package keyspace

import (
	"math"

	"triggerd/internal/geo"
)

// Servers look for places in at most nine cells of a grid: the center's, and those
// around it. The grid is chosen so that they cover the area, which for one of
// thousands of kilometers, or near a pole, they need not: what is in no such cell
// is not found, though it is inside. So it is here.

// A grid of a step divides the globe into 1<<step columns and rows.
type grid struct {
	step   int
	around [3][3]bool // which cells are looked at: west to east, south to north
	x, y   int        // of the center
}

// circumference is half of that of the equator in the projection, in meters.
const circumference = 20037726.37

// gridOf returns the cells in which a server looks, one before Redis 6.2 if it is
// old. false: it cannot be told, since an edge of the area is within a hair of an
// edge of the grid.
func (g *geoSearch) gridOf(old bool) (grid, bool) {
	area, sure := g.bounds(old)
	reach := g.radius
	if g.box {
		reach = math.Sqrt(g.width/2*(g.width/2) + g.height/2*(g.height/2))
	}
	cells := grid{step: stepFor(reach, g.center.Lat)}
	if !cells.place(g.center) {
		return cells, false
	}
	small := false
	around := edges{
		west: cells.edges(cells.x-1, cells.y).west, south: cells.edges(cells.x, cells.y-1).south,
		east: cells.edges(cells.x+1, cells.y).east, north: cells.edges(cells.x, cells.y+1).north,
	}
	if old {
		small = around.nearerThan(g.center, reach, &sure)
	} else {
		small = around.inside(&area, &sure)
	}
	if small && cells.step > 1 {
		cells.step--
		cells.place(g.center)
	}
	cells.look(&area, &sure)
	return cells, sure
}

// look decides at which cells a server looks: not beside the center's where that
// reaches beyond the area.
func (c *grid) look(area *edges, sure *bool) {
	for x := range c.around {
		c.around[x] = [3]bool{true, true, true}
	}
	if c.step < 2 {
		return
	}
	cell := c.edges(c.x, c.y)
	for i := range c.around {
		if less(cell.south, area.south, sure) {
			c.around[i][0] = false
		}
		if less(area.north, cell.north, sure) {
			c.around[i][2] = false
		}
		if less(cell.west, area.west, sure) {
			c.around[0][i] = false
		}
		if less(area.east, cell.east, sure) {
			c.around[2][i] = false
		}
	}
}

// edges are those of an area, in degrees.
type edges struct{ west, south, east, north float64 }

// inside reports whether an edge is inside of an area.
func (e *edges) inside(area *edges, sure *bool) bool {
	n, s := less(e.north, area.north, sure), less(area.south, e.south, sure)
	east, west := less(e.east, area.east, sure), less(area.west, e.west, sure)
	return n || s || east || west
}

// nearerThan reports whether an edge is nearer to a place than so many meters, as
// Redis 6.0 asks.
func (e *edges) nearerThan(p geo.Place, meters float64, sure *bool) (is bool) {
	for _, q := range [...]geo.Place{{Lon: p.Lon, Lat: e.north}, {Lon: p.Lon, Lat: e.south}, {Lon: e.east, Lat: p.Lat}, {Lon: e.west, Lat: p.Lat}} {
		d := geo.Distance(p, q)
		if math.Abs(d-meters) < hair*(1+meters) {
			*sure = false
		}
		is = is || d < meters
	}
	return is
}

// less compares two edges. If they are so near that the last bit of a sine may
// decide it says that nothing is sure.
func less(a, b float64, sure *bool) bool {
	if math.Abs(a-b) < 1e-9 {
		*sure = false
	}
	return a < b
}

// bounds returns the edges of the area, as the servers compute them: as if it did
// not reach over a pole.
func (g *geoSearch) bounds(old bool) (area edges, sure bool) {
	height, width := g.radius, g.radius
	if g.box {
		height, width = g.height/2, g.width/2
	}
	lat := height / geo.Earth / geo.Degree
	nearest := g.center.Lat + lat
	switch {
	case old:
		nearest = g.center.Lat
	case g.center.Lat < 0:
		nearest = g.center.Lat - lat
	}
	shrink := math.Cos(nearest * geo.Degree)
	lon := width / geo.Earth / shrink / geo.Degree
	return edges{g.center.Lon - lon, g.center.Lat - lat, g.center.Lon + lon, g.center.Lat + lat}, math.Abs(shrink) > 1e-9
}

// stepFor returns the step of the grid for an area that reaches so many meters.
func stepFor(reach, lat float64) int {
	if reach == 0 {
		return geo.Bits
	}
	step := -1
	for ; reach < circumference; reach *= 2 {
		step++
	}
	switch lat = math.Abs(lat); {
	case lat > 80:
		step -= 2
	case lat > 66:
		step--
	}
	return min(max(step, 1), geo.Bits)
}

// place makes the cell of a place the center: false at the very edge of the globe.
func (c *grid) place(p geo.Place) bool {
	n := float64(int(1) << c.step)
	x := (p.Lon + 180) / 360 * n
	y := (p.Lat + geo.MaxLat) / (2 * geo.MaxLat) * n
	c.x, c.y = int(x), int(y)
	return x >= 0 && y >= 0 && x < n && y < n
}

// edges returns the edges of a cell; the grid goes on at its other side.
func (c *grid) edges(x, y int) edges {
	n := 1 << c.step
	x, y = x&(n-1), y&(n-1)
	lon := func(x int) float64 { return -180 + float64(x)/float64(n)*360 }
	lat := func(y int) float64 { return -geo.MaxLat + float64(y)/float64(n)*(2*geo.MaxLat) }
	return edges{lon(x), lat(y), lon(x + 1), lat(y + 1)}
}

// has reports whether a server looks at the place that a score stands for.
func (c *grid) has(score float64) bool {
	lon, lat := geo.CellOf(score)
	n := 1 << c.step
	x, y := int(lon>>(geo.Bits-c.step)), int(lat>>(geo.Bits-c.step))
	for i := range c.around {
		for j := range c.around[i] {
			if c.around[i][j] && (c.x+i-1)&(n-1) == x && (c.y+j-1)&(n-1) == y {
				return true
			}
		}
	}
	return false
}
