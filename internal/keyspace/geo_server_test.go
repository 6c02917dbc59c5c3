package keyspace_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"triggerd/internal/geo"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// TestGeoSearches: which places are found, in areas of any size and anywhere, is
// what the servers find, who do not look everywhere.
func TestGeoSearches(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		seed := seedOf(t)
		t.Logf("%s=%d", envSeed, seed)
		r := rand.New(rand.NewPCG(seed, 7))
		near := func(most float64) string { // the poles and the antimeridian more often than not
			x := most * (1 - r.ExpFloat64()/8)
			if r.IntN(2) == 0 {
				x = most * r.Float64()
			}
			if r.IntN(2) == 0 {
				x = -x
			}
			return fmt.Sprintf("%.6f", max(-most, min(most, x)))
		}
		lon := func() string { return near(180) }
		lat := func() string { return near(85.05) }
		reach := func() string { return fmt.Sprintf("%.3f", r.ExpFloat64()*[]float64{1, 100, 2000, 6000}[r.IntN(4)]) }

		d := startDifferential(t, srv)
		var commands [][]string
		add := []string{"GEOADD", "g:1"}
		for i := range 400 {
			add = append(add, lon(), lat(), fmt.Sprint("m", i))
		}
		commands = append(commands, add)
		const searches = 450
		for i := range searches {
			into := fmt.Sprint("gs:", i)
			shape := []string{"BYRADIUS", reach(), "km"}
			if r.IntN(2) == 0 {
				shape = []string{"BYBOX", reach(), reach(), "km"}
			}
			from := []string{"FROMLONLAT", lon(), lat()}
			if r.IntN(3) == 0 {
				from = []string{"FROMMEMBER", fmt.Sprint("m", r.IntN(400))}
			}
			command := append(append([]string{"GEOSEARCHSTORE", into, "g:1"}, from...), shape...)
			if srv.Program.Name == "redis-6.0" { // which has no GEOSEARCHSTORE
				command = []string{"GEORADIUS", "g:1", lon(), lat(), reach(), "km", "STORE", into}
			}
			if r.IntN(4) == 0 {
				command = append(command, "COUNT", "3")
			}
			commands = append(commands, command)
		}
		d.send(commands)
		d.finish()
		if n := d.in.Stats().Lost.Undecided; n > searches/100 {
			t.Errorf("of %d searches %d are not known", searches, n)
		}
	})
}

// TestDistances: how far apart places are is what the servers say, to a tenth of
// a millimeter, which is all that they tell.
func TestDistances(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		r := rand.New(rand.NewPCG(seedOf(t), 4))
		c := redistest.Dial(t, srv)
		do := func(args ...string) string {
			t.Helper()
			got, err := c.Do(args...)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%s", got)
		}
		place := func(member string) geo.Place {
			score, _ := strconv.ParseFloat(do("ZSCORE", "g", member), 64)
			p, ok := geo.PlaceOf(score)
			if !ok {
				t.Fatalf("%s has the score %v", member, score)
			}
			return p
		}
		for range 500 {
			for _, member := range []string{"a", "b"} {
				do("GEOADD", "g", fmt.Sprint(r.Float64()*360-180), fmt.Sprint(r.Float64()*170-85), member)
			}
			want, _ := strconv.ParseFloat(do("GEODIST", "g", "a", "b"), 64)
			if got := geo.Distance(place("a"), place("b")); math.Abs(got-want) > 0.0001 {
				t.Fatalf("%v to %v: %v m, the server says %v", place("a"), place("b"), got, want)
			}
		}
	})
}
