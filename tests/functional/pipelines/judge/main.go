// Cronjudge says how KFP's own library reads cron expressions, and when they come.
//
// Each line of standard input is a question, each line of standard output its answer.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/robfig/cron"
)

// Question asks for the first Count instants after From, in seconds since the epoch.
type Question struct {
	Expression string `json:"expression"`
	From       int64  `json:"from"`
	Count      int    `json:"count"`
}

// Answer has the library's error, or the instants; fewer than were asked for if it finds no more.
type Answer struct {
	Error    string  `json:"error"`
	Instants []int64 `json:"instants"`
}

func answer(question Question) Answer {
	schedule, err := cron.Parse(question.Expression)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	found := Answer{Instants: []int64{}}
	moment := time.Unix(question.From, 0).UTC()
	for len(found.Instants) < question.Count {
		moment = schedule.Next(moment)
		if moment.IsZero() {
			break
		}
		found.Instants = append(found.Instants, moment.Unix())
	}
	return found
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var question Question
		if err := json.Unmarshal(lines.Bytes(), &question); err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(answer(question)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}
