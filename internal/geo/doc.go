// Package geo is the places of Redis' geo commands: how a score stands for a
// place, and how far apart two places are, as the servers compute it.
//
//	p, ok := geo.PlaceOf(score)
//	meters := geo.Distance(p, geo.Place{Lon: 13.4, Lat: 52.5})
//
// The constants and formulas are those of geohash.c and geohash_helper.c of Redis
// and Valkey. A sine may differ from theirs in its last bit, so a distance may
// differ in the last of its digits.
package geo
