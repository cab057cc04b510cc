// Package connection says how to reach the brokers, from the variables that emberline's own programs
// take too: docs/secured-kafka.md describes them.
package connection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Prefix is what the name of every topic begins with.
var Prefix = Variable("EMBERLINE_PREFIX", "emberline.")

// of docs/secured-kafka.md, what this example leaves to your program
var unsupported = []string{"TOKEN_URL", "CHECK_HOSTNAME", "KEY_PASSWORD", "KEY_PASSWORD_FILE"}

// Options returns what a producer and a consumer have in common.
func Options() ([]kgo.Opt, error) {
	for _, name := range unsupported {
		if setting(name, "") != "" {
			return nil, fmt.Errorf("EMBERLINE_KAFKA_%s is set, and this example does not support it", name)
		}
	}
	brokers := Variable("KAFKA_BOOTSTRAP_SERVERS", "")
	if brokers == "" {
		return nil, errors.New("set KAFKA_BOOTSTRAP_SERVERS to the brokers: host:port, with commas between")
	}
	options := []kgo.Opt{kgo.SeedBrokers(strings.Split(brokers, ",")...)}
	security := strings.ToLower(setting("SECURITY", "plaintext"))
	if strings.HasSuffix(security, "ssl") {
		config, err := tlsConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.DialTLSConfig(config))
	}
	if strings.HasPrefix(security, "sasl") {
		mechanism, err := mechanism(setting("SASL_MECHANISM", "SCRAM-SHA-512"))
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(mechanism))
	}
	return options, nil
}

func tlsConfig() (*tls.Config, error) {
	config := &tls.Config{}
	if file := setting("CA_FILE", ""); file != "" {
		authority, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(authority) {
			return nil, fmt.Errorf("%s has no certificate", file)
		}
	}
	if file := setting("CERT_FILE", ""); file != "" {
		certificate, err := tls.LoadX509KeyPair(file, setting("KEY_FILE", file))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// Each of these functions runs for each connection, so another program may renew the files.
func mechanism(name string) (sasl.Mechanism, error) {
	user := setting("SASL_USER", "")
	scramAuth := func(context.Context) (scram.Auth, error) {
		password, err := secret("SASL_PASSWORD")
		return scram.Auth{User: user, Pass: password}, err
	}
	switch name {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := secret("SASL_PASSWORD")
			return plain.Auth{User: user, Pass: password}, err
		}), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(scramAuth), nil
	case "SCRAM-SHA-512":
		return scram.Sha512(scramAuth), nil
	case "OAUTHBEARER":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := secret("TOKEN")
			return oauth.Auth{Token: token}, err
		}), nil
	}
	return nil, fmt.Errorf("EMBERLINE_KAFKA_SASL_MECHANISM: there is no %q", name)
}

// Variable returns a variable of the environment, or its default.
func Variable(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func setting(name, otherwise string) string {
	return Variable("EMBERLINE_KAFKA_"+name, otherwise)
}

// the first line of the file that the variable NAME_FILE names, or the variable NAME
func secret(name string) (string, error) {
	file := setting(name+"_FILE", "")
	if file == "" {
		return setting(name, ""), nil
	}
	content, err := os.ReadFile(file)
	line, _, _ := strings.Cut(string(content), "\n")
	return strings.TrimSpace(line), err
}
