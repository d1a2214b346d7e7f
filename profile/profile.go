// Package profile sets up an AWS profile that renews its credentials automatically: a section of AWS's configuration file
// ([ConfigFile]) names the Step's program as its credential process. A copy of the program is kept, with what it needs, in the
// user's home ([Folder]); it prints credentials from a cache that all processes share ([Cache]).
//
// Changes are staged and take effect with [sharedfile.Commit]. No file holds the build's API token.
//
// How credentials are obtained, what the settings of a session mean, and the Step's inputs are the callers' business.
package profile
