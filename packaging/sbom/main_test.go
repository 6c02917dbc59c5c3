package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"testing"
	"time"
)

func TestLicencesIn(t *testing.T) {
	const bsd = "Redistribution and use in source and binary forms, with or\nwithout modification, are permitted"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"apache":        {"                              Apache License\n                        Version 2.0, January 2004\n", []string{"Apache-2.0"}},
		"mit":           {"Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software and associated documentation files (the", []string{"MIT"}},
		"two clauses":   {"Copyright\n" + bsd, []string{"BSD-2-Clause"}},
		"three clauses": {bsd + " ... may be used to endorse\nor promote products", []string{"BSD-3-Clause"}},
		"both":          {bsd + " x\n" + bsd + " to endorse or promote products", []string{"BSD-2-Clause", "BSD-3-Clause"}},
		"none":          {"All rights reserved.", nil},
		"nothing":       {"", nil},
	} {
		if got := licencesIn(c.text); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// A module without a licence that is known ends it: nobody may ship that unseen.
func TestUnknownLicence(t *testing.T) {
	dir, of := t.TempDir(), &debug.Module{Path: "example.com/m", Version: "v1.0.0"}
	if m, err := readModule(of, dir); err == nil {
		t.Errorf("no licence: %q", m.licences)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("All rights reserved."), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := readModule(of, dir); err == nil {
		t.Errorf("an unknown one: %q", m.licences)
	}
	if m, err := readModule(of, ""); err == nil {
		t.Errorf("not in the cache: %q", m.licences)
	}
}

// This test's own program is made of the standard library alone.
func TestDocument(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.document("1.2.3+4.gabc", time.Unix(0, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Components) != 1 || d.Components[0].Name != "std" || len(d.Components[0].Licences) != 1 || d.Components[0].Licences[0].Licence.ID != "BSD-3-Clause" {
		t.Errorf("components: %+v", d.Components)
	}
	if got := d.Metadata.Component; got.PURL != "pkg:generic/triggerd@1.2.3%2B4.gabc" || len(got.Hashes) != 1 || len(got.Hashes[0].Content) != 64 {
		t.Errorf("the program: %+v", got)
	}
	if again, err := p.document("1.2.3+4.gabc", time.Unix(0, 0).UTC()); err != nil || string(again) != string(b) {
		t.Errorf("not the same twice: %v\n%s\n%s", err, b, again)
	}
}
