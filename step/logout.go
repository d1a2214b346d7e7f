package step

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// logout removes what an earlier run in this build left: the ECR logins named in ECR_REGISTRIES, the profile named in AWS_PROFILE if
// the Step wrote it, and the exported credentials. What is gone already is fine; what others wrote stays. It needs no network.
func (s *Step) logout(ctx context.Context) error {
	store, err := findEnvstore(s.Environment)
	if err != nil {
		return err
	}
	staged := staged{store: store, outputs: emptyCredentialOutputs()}
	defer staged.discard()
	// A file that cannot be read keeps nothing else from being removed.
	dockerErr := s.stageDockerLogout(&staged)
	removeSession, profileErr := s.stageProfileRemoval(&staged)
	if err := s.commit(ctx, staged); err != nil {
		return err
	}
	return errors.Join(dockerErr, profileErr, removeSession(ctx))
}

// stageDockerLogout stages the removal of the logins from Docker's file.
func (s *Step) stageDockerLogout(staged *staged) error {
	registries := items(s.Environment.Get("ECR_REGISTRIES"), byCommaOrLine)
	if len(registries) == 0 {
		s.Log.Printf("ECR_REGISTRIES is not set: there are no ECR logins to remove")
		return nil
	}
	file, err := dockerlogin.FindFile(s.Environment.Get)
	if err != nil {
		return err
	}
	change, removed, kept, err := file.PrepareLogout(registries)
	if err != nil {
		return err
	}
	staged.changes = append(staged.changes, change)
	if len(removed) > 0 {
		staged.done = append(staged.done, fmt.Sprintf("Removed the logins to %s from %s", strings.Join(removed, ", "), file))
	}
	if len(kept) > 0 {
		s.Log.Warnf("Kept the logins to %s in %s: this Step did not write them", strings.Join(kept, ", "), file)
	}
	if len(removed)+len(kept) == 0 {
		staged.done = append(staged.done, fmt.Sprintf("%s has no logins to %s (anymore)", file, strings.Join(registries, ", ")))
	}
	return nil
}

// stageProfileRemoval stages the removal of the profile from AWS's file. What is kept for it goes afterwards, with the function that is
// returned.
func (s *Step) stageProfileRemoval(staged *staged) (removeSession func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	value := s.Environment.Get(profileVariable)
	if value == "" {
		s.Log.Printf("%s is not set: there is no profile to remove", profileVariable)
		return nothing, nil
	}
	name, err := profile.ParseName(value)
	if err != nil {
		s.Log.Warnf("Kept the profile %q: this Step did not write it", value)
		return nothing, nil
	}
	file, err := profile.FindConfigFile(s.Environment.Get)
	if err != nil {
		return nothing, err
	}
	change, command, err := file.PrepareRemoval(name)
	switch {
	case errors.Is(err, profile.ErrForeign):
		s.Log.Warnf("Kept the profile %q in %s: this Step did not write it", name, file)
		return nothing, nil
	case err != nil:
		return nothing, err
	case change == nil:
		staged.done = append(staged.done, fmt.Sprintf("%s has no profile %q (anymore)", file, name))
		return nothing, nil
	}
	folder, err := profile.FolderIn(s.Environment.Get("HOME"))
	if err != nil {
		return nothing, err
	}
	staged.changes = append(staged.changes, change)
	staged.done = append(staged.done, fmt.Sprintf("Removed the profile %q from %s", name, file))
	return func(ctx context.Context) error {
		if err := folder.Remove(ctx, file, command); err != nil {
			return fmt.Errorf("remove what was kept for the profile %q in %s: %w", name, folder, err)
		}
		s.Log.Printf("Removed what was kept for the profile %q in %s", name, folder)
		return nil
	}, nil
}
