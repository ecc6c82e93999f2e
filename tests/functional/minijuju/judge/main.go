// Command jujucharm says what the library that Juju itself uses makes of bundles and charms.
//
// Each line of standard input is a question, each line of standard output its answer:
//
//	{"charm": FOLDER}                       -> {"errors": [...]}
//	{"bundle": FILE, "overlays": [FILE...],
//	 "charms": {NAME: FOLDER}}              -> {"errors": [...], "ignored": [...]}
//
// An empty list of errors is consent. `charms` are what a store would give for the names in a
// bundle; what is ignored is what does not fit while reading, which Juju tells on a dry run.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/juju/charm/v12"
)

type question struct {
	Charm    string            `json:"charm"`
	Bundle   string            `json:"bundle"`
	Overlays []string          `json:"overlays"`
	Charms   map[string]string `json:"charms"`
}

type answer struct {
	Errors  []string `json:"errors"`
	Ignored []string `json:"ignored,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		found := judge(asked)
		if found.Errors == nil {
			found.Errors = []string{}
		}
		if err := out.Encode(found); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func judge(asked question) answer {
	if asked.Charm != "" {
		_, err := readCharm(asked.Charm)
		return answer{Errors: texts(err)}
	}
	return judgeBundle(asked)
}

// readCharm reads a charm's folder and checks it as the controller does when one is uploaded.
func readCharm(folder string) (charm.Charm, error) {
	found, err := charm.ReadCharmDir(folder)
	if err != nil {
		return nil, err
	}
	return found, charm.CheckMeta(found)
}

func judgeBundle(asked question) answer {
	var sources []charm.BundleDataSource
	var errors, ignored []string
	for _, file := range append([]string{asked.Bundle}, asked.Overlays...) {
		source, err := charm.LocalBundleDataSource(file)
		if err != nil {
			return answer{Errors: texts(err)}
		}
		for _, part := range source.Parts() {
			if part.UnmarshallError != nil {
				ignored = append(ignored, part.UnmarshallError.Error())
			}
		}
		sources = append(sources, source)
	}
	data, err := charm.ReadAndMergeBundleData(sources...)
	if err != nil {
		return answer{Errors: texts(err), Ignored: ignored}
	}
	charms := map[string]charm.Charm{}
	for name, application := range data.Applications {
		if application == nil {
			return answer{Errors: []string{fmt.Sprintf("application %q has no body", name)}}
		}
		folder := application.Charm
		if !strings.HasPrefix(folder, ".") && !filepath.IsAbs(folder) {
			folder = asked.Charms[application.Charm]
		}
		if folder == "" {
			continue
		}
		if _, err := os.Stat(folder); err != nil {
			continue // The verification has a word of its own for that.
		}
		found, err := readCharm(folder)
		if err != nil {
			errors = append(errors, err.Error())
			continue
		}
		charms[application.Charm] = found
	}
	if len(errors) > 0 {
		return answer{Errors: errors, Ignored: ignored}
	}
	return answer{Errors: texts(data.VerifyWithCharms(nil, nil, nil, charms)), Ignored: ignored}
}

func texts(err error) []string {
	if err == nil {
		return nil
	}
	if several, ok := err.(*charm.VerificationError); ok {
		var found []string
		for _, one := range several.Errors {
			found = append(found, one.Error())
		}
		return found
	}
	return []string{err.Error()}
}
