package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// archive is the Debian archive that this machine's apt sources name, asked
// through apt with a configuration, state and cache below dir.
type archive struct {
	dir     string
	uri     string
	options string // of its sources lines: "[signed-by=...] " or ""
}

// findArchive asks apt for the archive that this machine's own release comes from.
func findArchive(ctx context.Context, dir string) (*archive, error) {
	if runtime.GOOS != "linux" {
		return nil, errors.New("servers can be fetched on Debian only; install one, and it is found on PATH")
	}
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("servers can be fetched on Debian only (%w); install one, and it is found on PATH", err)
		}
	}
	release, err := os.ReadFile(osReleaseFile)
	if err != nil {
		return nil, err
	}
	codename := releaseCodename(string(release))
	if codename == "" {
		return nil, errors.New("no VERSION_CODENAME in " + osReleaseFile + "; servers can be fetched on a Debian release only")
	}
	// An empty state makes apt name what it would read, without reading anything.
	state := filepath.Join(dir, "none")
	if err := os.MkdirAll(filepath.Join(state, "lists", "partial"), 0o755); err != nil {
		return nil, err
	}
	out, err := run(ctx, "", "apt-get", "-o", "Dir::State="+state, "-o", "Debug::NoLocking=true", "--print-uris", "update")
	if err != nil {
		return nil, fmt.Errorf("ask apt for its sources: %w", err)
	}
	uri := archiveURI(out, codename)
	if uri == "" {
		return nil, fmt.Errorf("this machine's apt sources have no Debian archive with %s main", codename)
	}
	a := &archive{dir: dir, uri: uri}
	for _, key := range []string{"/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"} {
		if _, err := os.Stat(key); err == nil {
			a.options = "[signed-by=" + key + "] "
			break
		}
	}
	return a, nil
}

var osReleaseFile = "/etc/os-release" // tests have their own

var codenamePattern = regexp.MustCompile(`(?m)^VERSION_CODENAME="?([a-z]+)"?$`)

func releaseCodename(osRelease string) string {
	if m := codenamePattern.FindStringSubmatch(osRelease); m != nil {
		return m[1]
	}
	return ""
}

var printedURI = regexp.MustCompile(`(?m)^'([^' ]+?)/dists/([^/' ]+)/main/binary-`)

// archiveURI returns the base of the archive with the named suite, out of what
// apt-get --print-uris update printed. Others may use Debian's suite names too,
// so the path that every mirror of Debian has by convention goes first.
func archiveURI(printed, codename string) string {
	first := ""
	for _, m := range printedURI.FindAllStringSubmatch(printed, -1) {
		uri := strings.TrimRight(m[1], "/")
		switch {
		case m[2] != codename:
		case strings.HasSuffix(uri, "/debian"):
			return uri
		case first == "":
			first = uri
		}
	}
	return first
}

// download gets the packages of the named server and of what it needs from one
// suite and returns their files.
func (a *archive) download(ctx context.Context, suite, name string) ([]string, error) {
	dir := filepath.Join(a.dir, suite)
	if err := a.configure(ctx, dir, suite); err != nil {
		return nil, err
	}
	if _, err := a.apt(ctx, dir, "apt-get", "-q", "update"); err != nil {
		return nil, fmt.Errorf("read the package lists: %w", err)
	}
	family, wanted, _ := strings.Cut(name, "-")
	listed, err := a.apt(ctx, dir, "apt-cache", "madison", family+"-server")
	if err != nil {
		return nil, err
	}
	version, others := pickVersion(listed, suite, wanted)
	if version == "" {
		return nil, fmt.Errorf("it has no %s-server %s (it has: %s)", family, wanted, strings.Join(others, ", "))
	}
	plan, err := a.apt(ctx, dir, "apt-get", "-qq", "--print-uris", "install", family+"-server="+version, family+"-tools="+version)
	if err != nil {
		return nil, fmt.Errorf("resolve the packages: %w", err)
	}
	debs := filepath.Join(dir, "debs")
	if err := os.Mkdir(debs, 0o755); err != nil {
		return nil, err
	}
	if _, err := a.aptIn(ctx, debs, dir, "apt-get", append([]string{"-q", "download"}, neededPackages(plan, family)...)...); err != nil {
		return nil, fmt.Errorf("download the packages: %w", err)
	}
	return filepath.Glob(filepath.Join(debs, "*.deb"))
}

// aptConf is all that is not the machine's own configuration, of which the
// proxy and the like are to be kept, but not the hooks: one that this machine
// runs after an update may write outside the cache.
const aptConf = `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear APT::Default-Release;
APT::Architecture "%[2]s";
APT::Architectures:: "%[2]s";
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
`

// configure writes an apt configuration for one suite to dir: an empty machine
// whose only source is that suite and those that its packages build on.
func (a *archive) configure(ctx context.Context, dir, suite string) error {
	arch, err := run(ctx, "", "dpkg", "--print-architecture")
	if err != nil {
		return err
	}
	suites := []string{suite}
	if base, ok := strings.CutSuffix(suite, "-backports"); ok {
		suites = append(suites, base)
	}
	if suite == "experimental" {
		suites = append(suites, "sid")
	}
	var list strings.Builder
	for _, s := range suites {
		fmt.Fprintf(&list, "deb %s%s %s main\n", a.options, a.uri, s)
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "sources.list"), []byte(list.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "status"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "apt.conf"), fmt.Appendf(nil, aptConf, dir, strings.TrimSpace(arch)), 0o644),
	)
}

func (a *archive) apt(ctx context.Context, dir, tool string, args ...string) (string, error) {
	return a.aptIn(ctx, "", dir, tool, args...)
}

func (a *archive) aptIn(ctx context.Context, workDir, dir, tool string, args ...string) (string, error) {
	return run(ctx, workDir, tool, append([]string{"-c", filepath.Join(dir, "apt.conf")}, args...)...)
}

// pickVersion returns the Debian version that suite has of the wanted minor
// version, out of what apt-cache madison printed: "name | version | uri
// suite/main arch Packages" lines, newest first. others are the upstream versions it has instead.
func pickVersion(madison, suite, wanted string) (version string, others []string) {
	for line := range strings.Lines(madison) {
		fields := strings.Split(line, "|")
		if len(fields) != 3 || !strings.Contains(fields[2], " "+suite+"/main ") {
			continue
		}
		version = strings.TrimSpace(fields[1])
		upstream := version[strings.Index(version, ":")+1:]
		upstream = upstream[:strings.IndexAny(upstream+"-", "-+~")]
		if minor(upstream) == wanted {
			return version, nil
		}
		others = append(others, upstream)
	}
	return "", others
}

var printedDeb = regexp.MustCompile(`(?m)^'[^']*' ([a-z0-9+.-]+)_([^_ ]+)_[a-z0-9]+\.deb `)

// neededPackages returns "package=version" for those packages of an install
// plan (what apt-get --print-uris install printed) that hold programs of the
// family or shared libraries, but not what an installation would need besides.
func neededPackages(plan, family string) []string {
	var need []string
	for _, m := range printedDeb.FindAllStringSubmatch(plan, -1) {
		pkg := m[1]
		version, err := url.PathUnescape(m[2])
		if err != nil {
			continue // not a file name that apt makes
		}
		if slices.ContainsFunc([]string{"lib", "zlib", "lua", family + "-"}, func(s string) bool { return strings.HasPrefix(pkg, s) }) {
			need = append(need, pkg+"="+version)
		}
	}
	return need
}

// waitDelay is how long a killed command's children may keep its output open.
const waitDelay = 2 * time.Second

// run runs a command and returns what it printed. The error holds the first
// lines that it marked as errors.
func run(ctx context.Context, dir, tool string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.WaitDelay = waitDelay
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w%s", tool, err, errorLines(stderr.String()))
	}
	return stdout.String(), nil
}

// errorLines returns the first few lines of apt's complaints, for an error message.
func errorLines(stderr string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(stderr) {
		if msg, ok := strings.CutPrefix(line, "E: "); ok && n < 3 {
			n++
			b.WriteString("; " + strings.TrimSpace(msg))
		}
	}
	return b.String()
}
