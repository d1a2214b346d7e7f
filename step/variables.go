package step

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// runFacts is what the table of variables needs to know about a run.
type runFacts struct {
	// region is the Region that is exported.
	region string
	// sessionToken is the value that is exported as AWS_SESSION_TOKEN; empty for long-lived keys and with a profile.
	sessionToken secret.Text
	// profile is the name of the profile that the run writes, or empty. configFile and credentialsFile are the absolute
	// paths of AWS's shared files, and matter only with a profile.
	profile, configFile, credentialsFile string
	// registries are the hosts that the run logs Docker in to, if any, and dockerFile is where it stores the logins.
	registries []string
	dockerFile string
}

// effects is what the variables of the environment mean for the Steps that follow.
type effects struct {
	// outputs are exported in addition to the Step's own.
	outputs []output
	// warnings name variables that keep at least one tool from using what the Step exports.
	warnings []string
	// facts are worth a line in the log, but are usually what the user wants.
	facts []string
}

// print writes the effects to the log.
func (e effects) print(log *report.Log) {
	for _, line := range e.facts {
		log.Printf("%s", line)
	}
	for _, line := range e.warnings {
		log.Warnf("%s", line)
	}
}

// variable is a row of the table: an environment variable that a tool prefers to what the Step exports, or that breaks a
// tool when it is combined with it.
type variable struct {
	key string
	// when are the conditions under which the row applies to a variable that is set. Its value may be empty.
	when []condition
	// warning and fact are for the log, and may contain the placeholders of [setting.placeholders].
	warning, fact string
	// replace returns what to export in place of the value; nil: nothing.
	replace func(runFacts) output
}

// setting is a variable that is set, in an environment and for a run.
type setting struct {
	key, value  string
	environment Environment
	run         runFacts
}

// condition reports whether a row of the table applies.
type condition func(setting) bool

func withProfile(s setting) bool    { return s.run.profile != "" }
func withoutProfile(s setting) bool { return s.run.profile == "" }
func isEmpty(s setting) bool        { return s.value == "" }
func hasValue(s setting) bool       { return s.value != "" }

// isSet is the condition that another variable is set; it may be empty.
func isSet(key string) condition {
	return func(s setting) bool { _, found := s.environment[key]; return found }
}

// hasOther is the condition that another variable has a value.
func hasOther(key string) condition {
	return func(s setting) bool { return s.environment[key] != "" }
}

func isOtherProfile(s setting) bool { return s.value != s.run.profile }
func isOtherRegion(s setting) bool  { return s.value != s.run.region }

func isOtherDockerFile(s setting) bool {
	return len(s.run.registries) > 0 && filepath.Clean(s.value) != s.run.dockerFile
}

func movesEndpoint(s setting) bool {
	return s.host() != "" && !strings.EqualFold(s.environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"], "true")
}

func shadowsLogin(s setting) bool { return len(s.shadowedLogins()) > 0 }

// The texts that several rows share. "envman unset" does not remove a variable: it makes it empty for the next Steps.
const (
	remove       = "; remove {key} where it is set"
	emptyProfile = "{key} is set but empty: the AWS CLI and boto3 fail with \"The config profile () could not be found\"" + remove
	emptyFile    = "{key} is set but empty, and some AWS tools would not find the profile {profile}: it is exported with the default path"
	container    = "{key} is set: the AWS SDK for JavaScript v2 requests credentials there before it reads the profile {profile}" + remove
	otherRegion  = "{key} is {value}; it is exported as {region}, the input region"
	oldKeys      = " use these keys instead of the profile {profile}; remove or rename these variables"
)

// variableTable returns every variable that is known to defeat the outputs in the AWS CLI v1 or v2, boto3, an AWS SDK, or
// Docker. The order of the rows is the order in the log.
//
// Other variables of AWS's tools need no row. Those that the Step exports are replaced. AWS_CREDENTIAL_FILE, BOTO_CONFIG,
// AWS_EC2_METADATA_DISABLED and, but for JavaScript v2, AWS_CONTAINER_CREDENTIALS_* come into play only if neither exported
// credentials nor a profile exist. AWS_ROLE_ARN does nothing without AWS_WEB_IDENTITY_TOKEN_FILE.
func variableTable() []variable {
	is := func(conditions ...condition) []condition { return conditions }
	return []variable{
		// A run with a profile replaces AWS_PROFILE.
		{key: "AWS_PROFILE", when: is(withoutProfile, isEmpty), warning: emptyProfile},
		{
			key: "AWS_PROFILE", when: is(withoutProfile, hasValue),
			warning: "{key} is set to {value}: the AWS SDKs for JavaScript v3 and .NET v3 use that profile instead of " +
				"the exported credentials, and the AWS CLI, boto3, and the AWS SDK for Go v2 fail if it does not exist" + remove,
		},
		// The AWS CLI v1 and boto3 prefer AWS_DEFAULT_PROFILE to AWS_PROFILE, even if it is empty.
		{
			key: "AWS_DEFAULT_PROFILE", when: is(withProfile, isOtherProfile),
			fact: "{key} is set to {value}, and the AWS CLI v1 and boto3 prefer it to AWS_PROFILE: it is exported with " +
				"the same value",
			replace: func(run runFacts) output { return output{value: secret.New(run.profile)} },
		},
		{key: "AWS_DEFAULT_PROFILE", when: is(withoutProfile, isEmpty), warning: emptyProfile},
		{
			key: "AWS_DEFAULT_PROFILE", when: is(withoutProfile, hasValue),
			warning: "{key} is set to {value}: the AWS CLI and boto3 fail if that profile does not exist" + remove,
		},
		// An old name of AWS_SESSION_TOKEN.
		{
			key: "AWS_SECURITY_TOKEN", when: is(hasValue),
			fact: "{key} is set, and the AWS CLI and boto3 prefer it to AWS_SESSION_TOKEN: it is exported with the same " +
				"value",
		},
		// Without a profile, the exported keys come first everywhere except in the AWS SDK for .NET v3.
		{
			key: "AWS_WEB_IDENTITY_TOKEN_FILE", when: is(withoutProfile, hasValue, isSet("AWS_ROLE_ARN")),
			warning: "{key} and AWS_ROLE_ARN are set: the AWS SDK for .NET v3 assumes that role instead of using the " +
				"exported credentials" + remove,
		},
		{
			key: "AWS_WEB_IDENTITY_TOKEN_FILE", when: is(withProfile, hasValue),
			warning: "{key} is set to {value}: the AWS CLI, boto3, and most AWS SDKs use that token instead of the " +
				"profile {profile}" + remove,
		},
		{
			key: "AWS_WEB_IDENTITY_TOKEN_FILE", when: is(withProfile, isEmpty, isSet("AWS_ROLE_ARN")),
			warning: "{key} is set but empty, and AWS_ROLE_ARN is set: the AWS SDK for Ruby fails before it reads the " +
				"profile {profile}" + remove,
		},
		// Old names of the two keys. The tools that know them use them if AWS_ACCESS_KEY_ID is unset or empty, as it is with a profile.
		{
			key: "AWS_ACCESS_KEY", when: is(withProfile, hasValue, hasOther("AWS_SECRET_KEY")),
			warning: "{key} and AWS_SECRET_KEY are set: the AWS SDKs for Go, Java v1, and Ruby" + oldKeys,
		},
		{
			key: "AMAZON_ACCESS_KEY_ID", when: is(withProfile, hasValue, hasOther("AMAZON_SECRET_ACCESS_KEY")),
			warning: "{key} and AMAZON_SECRET_ACCESS_KEY are set: the AWS SDKs for JavaScript v2 and Ruby" + oldKeys,
		},
		{key: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", when: is(withProfile, hasValue), warning: container},
		{key: "AWS_CONTAINER_CREDENTIALS_FULL_URI", when: is(withProfile, hasValue), warning: container},
		// The Step and most SDKs use the default file then. The AWS CLI and boto3 read no config file, and the AWS SDK for Ruby
		// fails, because it reads the working directory.
		{
			key: "AWS_CONFIG_FILE", when: is(withProfile, isEmpty),
			fact:    emptyFile,
			replace: func(run runFacts) output { return output{value: secret.New(run.configFile)} },
		},
		{
			key: "AWS_SHARED_CREDENTIALS_FILE", when: is(withProfile, isEmpty),
			fact:    emptyFile,
			replace: func(run runFacts) output { return output{value: secret.New(run.credentialsFile)} },
		},
		// Any value opts out, even an empty one.
		{
			key: "AWS_SDK_CONFIG_OPT_OUT", when: is(withProfile),
			warning: "{key} is set: the AWS SDK for Ruby does not read the profile {profile}" + remove,
		},
		{
			key: "DOCKER_AUTH_CONFIG", when: is(shadowsLogin),
			warning: "{key} has a login for {shadowed}: Docker 28.3 and later use it instead of the one that this Step " +
				"stored; remove it from the variable",
		},
		{
			key: "REGISTRY_AUTH_FILE", when: is(hasValue, isOtherDockerFile),
			warning: "{key} is set to {value}: Podman, Buildah, and Skopeo read that file instead of {docker file}, " +
				"which has the logins" + remove,
		},
		{key: "AWS_REGION", when: is(hasValue, isOtherRegion), fact: otherRegion},
		{key: "AWS_DEFAULT_REGION", when: is(hasValue, isOtherRegion), fact: otherRegion},
		{key: "AWS_ENDPOINT_URL", when: is(movesEndpoint), fact: "{key} is set: calls to all AWS services go to {host}"},
		{key: "AWS_ENDPOINT_URL_STS", when: is(movesEndpoint), fact: "{key} is set: calls to STS go to {host}"},
		{key: "AWS_ENDPOINT_URL_ECR", when: is(movesEndpoint), fact: "{key} is set: calls to ECR go to {host}"},
		{key: "AWS_ENDPOINT_URL_ECR_PUBLIC", when: is(movesEndpoint), fact: "{key} is set: calls to ECR Public go to {host}"},
		{
			key: "AWS_BEARER_TOKEN_BEDROCK", when: is(hasValue),
			fact: "{key} is set: AWS tools call Amazon Bedrock with it instead of the exported credentials",
		},
	}
}

// variableEffects returns what the variables of the environment mean for the Steps that follow the run.
func variableEffects(environment Environment, run runFacts) effects {
	var all effects
	for _, row := range variableTable() {
		value, found := environment[row.key]
		s := setting{key: row.key, value: value, environment: environment, run: run}
		if !found || slices.ContainsFunc(row.when, func(holds condition) bool { return !holds(s) }) {
			continue
		}
		if row.warning != "" {
			all.warnings = append(all.warnings, s.placeholders().Replace(row.warning))
		}
		if row.fact != "" {
			all.facts = append(all.facts, s.placeholders().Replace(row.fact))
		}
		if row.replace != nil {
			out := row.replace(run)
			out.key = row.key
			all.outputs = append(all.outputs, out)
		}
	}
	return all
}

// placeholders are what the texts of the table may refer to.
func (s setting) placeholders() *strings.Replacer {
	return strings.NewReplacer("{key}", s.key, "{value}", strconv.Quote(s.value), "{profile}", strconv.Quote(s.run.profile),
		"{region}", strconv.Quote(s.run.region), "{host}", s.host(), "{shadowed}", strings.Join(s.shadowedLogins(), ", "),
		"{docker file}", s.run.dockerFile)
}

// host returns the host of a URL. The rest of it may hold a password.
func (s setting) host() string {
	if endpoint, err := url.Parse(s.value); err == nil {
		return endpoint.Host
	}
	return ""
}

// shadowedLogins returns the registries that have another login in the variable: Docker 28.3 and later use it instead of the one
// in Docker's file. They ignore a value that they cannot parse.
func (s setting) shadowedLogins() []string {
	var config struct {
		Auths map[string]struct {
			Auth string `json:"auth"`
		} `json:"auths"`
	}
	decoder := json.NewDecoder(strings.NewReader(s.value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return nil
	}
	var shadowed []string
	for _, registry := range s.run.registries {
		if _, found := config.Auths[registry]; found {
			shadowed = append(shadowed, registry)
		}
	}
	return shadowed
}
