package geo

import "math"

// The grid that places are on.
const (
	Bits   = 26          // of a longitude, and of a latitude, in a score
	MaxLat = 85.05112878 // of the projection, in degrees
	Earth  = 6372797.560856

	halfCells = 1 << (Bits - 1)
)

// Degree has so many radians; the servers too divide a pi that is rounded.
var Degree = float64(math.Pi) / 180

// Place is a point on the globe, in degrees.
type Place struct{ Lon, Lat float64 }

// PlaceOf returns the place that a sorted set's score stands for: the middle of
// the cell whose number it is. false: it is the number of no cell.
func PlaceOf(score float64) (Place, bool) {
	if !(score >= 0 && score < 1<<(2*Bits)) || score != math.Trunc(score) {
		return Place{}, false
	}
	lon, lat := CellOf(score)
	middle := func(cell uint64, most float64) float64 {
		width := 2 * most / (2 * halfCells)
		return -most + (float64(cell)+0.5)*width
	}
	return Place{Lon: middle(lon, 180), Lat: middle(lat, MaxLat)}, true
}

// CellOf returns the column and the row that a score interleaves. The score is
// the number of a cell.
func CellOf(score float64) (lon, lat uint64) {
	bits := uint64(score)
	for i := range Bits {
		lat |= bits >> (2 * i) & 1 << i
		lon |= bits >> (2*i + 1) & 1 << i
	}
	return lon, lat
}

// Radians turns degrees into radians.
func Radians(degrees float64) float64 { return degrees * Degree }

// Distance is that on a great circle, in meters.
func Distance(a, b Place) float64 {
	u := math.Sin(Radians(b.Lat-a.Lat) / 2)
	v := math.Sin(Radians(b.Lon-a.Lon) / 2)
	return 2 * Earth * math.Asin(math.Sqrt(u*u+math.Cos(Radians(a.Lat))*math.Cos(Radians(b.Lat))*v*v))
}
