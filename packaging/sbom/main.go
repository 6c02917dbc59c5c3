// Command sbom tells what a program of triggerd is made of: as a CycloneDX
// document, for programs, and as the text of all licences, for people. It reads
// the list of modules that Go writes into a program, and the licences from the
// module cache. It is run in the module that the program was built from.
//
//	sbom -version V -created UNIXTIME -sbom FILE -licences FILE PROGRAM
//
// A module without a licence that it knows is an error. A module that a folder of
// this one stands in for is no module of somebody else's, and left out.
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	version := flag.String("version", "", "version of triggerd")
	created := flag.Int64("created", 0, "time of the document, in seconds of Unix")
	sbom := flag.String("sbom", "", "CycloneDX document to write")
	licences := flag.String("licences", "", "text of all licences to write")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatalln("sbom: which program?")
	}
	p, err := read(flag.Arg(0))
	if err == nil && *sbom != "" {
		err = write(*sbom, func() ([]byte, error) { return p.document(*version, time.Unix(*created, 0).UTC()) })
	}
	if err == nil && *licences != "" {
		err = write(*licences, p.text)
	}
	if err != nil {
		log.Fatalln("sbom:", err)
	}
}

func write(path string, content func() ([]byte, error)) error {
	b, err := content()
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// program is what a program was built from.
type program struct {
	info    *buildinfo.BuildInfo
	sum     string // SHA-256 of its file
	modules []module
}

// module is one that is linked into a program.
type module struct {
	path, version string
	sum           string // SHA-256 of the module, as go.sum has it
	texts         []file // its licences and notices
	licences      []string
}

type file struct {
	name, text string
}

// read reads a program, and the licences of its modules.
func read(path string) (*program, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &program{info: info, sum: fmt.Sprintf("%x", sha256.Sum256(content))}
	dirs, err := moduleDirs()
	if err != nil {
		return nil, err
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			if dep = dep.Replace; strings.HasPrefix(dep.Path, ".") {
				continue
			}
		}
		m, err := readModule(dep, dirs[dep.Path])
		if err != nil {
			return nil, err
		}
		p.modules = append(p.modules, *m)
	}
	goroot, err := output("go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	std, err := readModule(&debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}, strings.TrimSpace(goroot))
	if err != nil {
		return nil, err
	}
	p.modules = append(p.modules, *std)
	return p, nil
}

// moduleDirs returns where the modules are that this one needs.
func moduleDirs() (map[string]string, error) {
	list, err := output("go", "list", "-m", "-f", "{{.Path}}\t{{.Dir}}", "all")
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	for line := range strings.Lines(list) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), "\t")
		dirs[path] = dir
	}
	return dirs, nil
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return string(out), nil
}

// licenceFile is what files with licences and notices are called.
var licenceFile = regexp.MustCompile(`^(?i:(licen[cs]e|copying|notice)([-.].*)?)$`)

func readModule(of *debug.Module, dir string) (*module, error) {
	m := &module{path: of.Path, version: of.Version}
	if of.Sum != "" {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(of.Sum, "h1:"))
		if err != nil {
			return nil, fmt.Errorf("%s: checksum: %w", of.Path, err)
		}
		m.sum = hex.EncodeToString(sum)
	}
	if dir == "" {
		return nil, fmt.Errorf("%s %s is not in the module cache", of.Path, of.Version)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		m.texts = append(m.texts, file{e.Name(), string(text)})
		m.licences = append(m.licences, licencesIn(string(text))...)
	}
	slices.Sort(m.licences)
	if m.licences = slices.Compact(m.licences); len(m.licences) == 0 {
		return nil, fmt.Errorf("%s %s: there is no licence in %s that is known", of.Path, of.Version, dir)
	}
	return m, nil
}

// known has, for an SPDX name, a sentence that only this licence has.
var known = []struct{ name, sentence string }{
	{"Apache-2.0", "Apache License Version 2.0, January 2004"},
	{"Apache-2.0", "Licensed under the Apache License, Version 2.0"},
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"},
	{"ISC", "Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted"},
}

// licencesIn returns the SPDX names of the licences that a text has.
func licencesIn(text string) (names []string) {
	text = strings.Join(strings.Fields(text), " ")
	for _, k := range known {
		if strings.Contains(text, k.sentence) {
			names = append(names, k.name)
		}
	}
	// Each licence of this family begins with the one sentence, and those of three
	// clauses have the other somewhere after it.
	for _, part := range strings.Split(text, "Redistribution and use in source and binary forms")[1:] {
		if strings.Contains(part, "endorse or promote products") {
			names = append(names, "BSD-3-Clause")
		} else {
			names = append(names, "BSD-2-Clause")
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// text is all licences, one module after another.
func (p *program) text() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintln(&b, "triggerd is made of the modules below, and of Go's standard library.")
	for _, m := range p.modules {
		name := m.path + " " + m.version
		if m.path == "std" {
			name = "Go " + m.version
		}
		fmt.Fprintf(&b, "\n%s\n%s\n", strings.Repeat("=", 80), name)
		for _, t := range m.texts {
			fmt.Fprintf(&b, "\n%s\n", t.text)
		}
	}
	return b.Bytes(), nil
}

// The parts of a CycloneDX document, of version 1.6:
// https://cyclonedx.org/docs/1.6/json/
type (
	document struct {
		Schema       string       `json:"$schema"`
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		SerialNumber string       `json:"serialNumber,omitempty"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Tools     tools     `json:"tools"`
		Component component `json:"component"`
	}
	tools struct {
		Components []component `json:"components"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref,omitempty"`
		Name       string     `json:"name"`
		Version    string     `json:"version,omitempty"`
		Scope      string     `json:"scope,omitempty"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Licences   []licence  `json:"licenses,omitempty"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licence struct {
		Licence licenceID `json:"license"`
	}
	licenceID struct {
		ID string `json:"id"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// document is the program as CycloneDX. Equal programs have equal documents.
func (p *program) document(version string, created time.Time) ([]byte, error) {
	if version == "" {
		return nil, errors.New("which version?")
	}
	d := document{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: metadata{
			Timestamp: created.Format(time.RFC3339),
			Tools:     tools{[]component{{Type: "application", Name: "triggerd/packaging/sbom", Version: version}}},
			Component: component{
				Type: "application", Ref: "triggerd", Name: "triggerd", Version: version,
				Hashes: []hash{{"SHA-256", p.sum}}, Licences: []licence{{licenceID{"MIT"}}},
				PURL: "pkg:generic/triggerd@" + strings.ReplaceAll(version, "+", "%2B"),
			},
		},
	}
	for _, s := range p.info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "CGO_ENABLED" {
			d.Metadata.Component.Properties = append(d.Metadata.Component.Properties, property{"go:" + s.Key, s.Value})
		}
	}
	main := dependency{Ref: d.Metadata.Component.Ref}
	for _, m := range p.modules {
		c := component{Type: "library", Name: m.path, Version: m.version, Scope: "required"}
		c.PURL = "pkg:golang/" + strings.ToLower(m.path) + "@" + strings.ReplaceAll(m.version, "+", "%2B")
		c.Ref = c.PURL
		if m.sum != "" {
			c.Hashes = []hash{{"SHA-256", m.sum}}
		}
		for _, name := range m.licences {
			c.Licences = append(c.Licences, licence{licenceID{name}})
		}
		d.Components = append(d.Components, c)
		d.Dependencies = append(d.Dependencies, dependency{Ref: c.Ref})
		main.DependsOn = append(main.DependsOn, c.Ref)
	}
	slices.SortFunc(d.Components, func(a, b component) int { return cmp.Compare(a.Ref, b.Ref) })
	d.Dependencies = append([]dependency{main}, d.Dependencies...)
	// A number that is of this document: without it, the same twice.
	b, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8, RFC 9562
	d.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	if b, err = json.MarshalIndent(d, "", "  "); err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
