// Loggers of Go: zerolog in JSON, logrus in logfmt and JSON.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"
	"github.com/sirupsen/logrus"
)

var wormy = fmt.Errorf("basket 3: %w", errors.New("the apples are \"wormy\""))

func writeZerolog() {
	log := zerolog.New(os.Stdout).With().Timestamp().Str("tree", "old one").Logger()
	log.Trace().Msg("ladder up")
	log.Debug().Int("apples", 12).Msg("picked")
	log.Info().Bool("ripe", true).Floats64("kilos", []float64{1.5, 2}).Msg("weighed, no errors")
	log.Warn().Msg("rain expected")
	log.Error().Err(wormy).Msg("basket refused")
	log.WithLevel(zerolog.FatalLevel).Msg("tree fell")
	log.Log().Msg("a line without level")
}

func writeLogrus(formatter logrus.Formatter) {
	log := logrus.New()
	log.SetLevel(logrus.TraceLevel)
	log.SetFormatter(formatter)
	entry := log.WithField("tree", "old one")
	entry.Trace("ladder up")
	entry.WithField("apples", 12).Debug("picked")
	entry.WithField("ripe", true).Info("weighed, no errors")
	entry.Warn("rain expected")
	entry.WithError(wormy).Error("basket refused\nanother is coming")
}

func main() {
	switch os.Args[1] {
	case "zerolog":
		writeZerolog()
	case "logrus":
		writeLogrus(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	case "logrus-json":
		writeLogrus(&logrus.JSONFormatter{})
	}
}
