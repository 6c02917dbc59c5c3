// Package kubernetes has the manifests of triggerd for Kubernetes. This module
// compares them with the types of Kubernetes' own API. It is a module by itself,
// so that the program does not depend on them.
package kubernetes

import (
	"bytes"
	"os"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// manifests is what triggerd.yaml has, by kind.
type manifests struct {
	config  corev1.ConfigMap
	secret  corev1.Secret
	service corev1.Service
	set     appsv1.StatefulSet
	budget  policyv1.PodDisruptionBudget
}

// read decodes each document of triggerd.yaml into the type of its kind. A field
// that the type does not have, and one that is there twice, is an error.
func read(t *testing.T) *manifests {
	t.Helper()
	text, err := os.ReadFile("triggerd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := &manifests{}
	targets := map[string]any{
		"v1 ConfigMap":                  &m.config,
		"v1 Secret":                     &m.secret,
		"v1 Service":                    &m.service,
		"apps/v1 StatefulSet":           &m.set,
		"policy/v1 PodDisruptionBudget": &m.budget,
	}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		name := kind.APIVersion + " " + kind.Kind
		target := targets[name]
		if target == nil {
			t.Fatalf("a %s, which is not expected, or is there twice", name)
		}
		delete(targets, name)
		if err := yaml.UnmarshalStrict(document, target); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name := range targets {
		t.Errorf("there is no %s", name)
	}
	return m
}

// Each name in the manifests is the name of something that is there.
func TestManifests(t *testing.T) {
	m := read(t)
	pod := &m.set.Spec.Template
	selectors := map[string]map[string]string{
		"StatefulSet":         m.set.Spec.Selector.MatchLabels,
		"Service":             m.service.Spec.Selector,
		"PodDisruptionBudget": m.budget.Spec.Selector.MatchLabels,
	}
	for of, labels := range selectors {
		if len(labels) == 0 {
			t.Errorf("%s selects every pod", of)
		}
		for label, value := range labels {
			if pod.Labels[label] != value {
				t.Errorf("%s selects %s=%s, and the pod has %q", of, label, value, pod.Labels[label])
			}
		}
	}
	if m.set.Spec.ServiceName != m.service.Name {
		t.Errorf("the StatefulSet's service is %q, want %q", m.set.Spec.ServiceName, m.service.Name)
	}
	if m.set.Spec.Replicas == nil || *m.set.Spec.Replicas != 1 {
		t.Errorf("replicas = %v, want 1: two would both deliver", m.set.Spec.Replicas)
	}

	container := &pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, port := range container.Ports {
		ports[port.Name] = true
	}
	for name, probe := range map[string]*corev1.Probe{"startup": container.StartupProbe, "liveness": container.LivenessProbe, "readiness": container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("the %s probe asks no port of the container", name)
		}
	}
	for _, port := range m.service.Spec.Ports {
		if !ports[port.TargetPort.StrVal] {
			t.Errorf("the Service's port %s leads nowhere", port.Name)
		}
	}

	volumes := map[string]bool{}
	for _, volume := range pod.Spec.Volumes {
		volumes[volume.Name] = true
		if config := volume.ConfigMap; config != nil && config.Name != m.config.Name {
			t.Errorf("volume %s: there is no ConfigMap %s", volume.Name, config.Name)
		}
		if secret := volume.Secret; secret != nil && secret.SecretName != m.secret.Name {
			t.Errorf("volume %s: there is no Secret %s", volume.Name, secret.SecretName)
		}
	}
	for _, claim := range m.set.Spec.VolumeClaimTemplates {
		volumes[claim.Name] = true
	}
	mounted := map[string]string{}
	for _, mount := range container.VolumeMounts {
		mounted[mount.Name] = mount.MountPath
	}
	for name := range mounted {
		if !volumes[name] {
			t.Errorf("%s is mounted, and is no volume", name)
		}
	}
	for name := range volumes {
		if mounted[name] == "" {
			t.Errorf("volume %s is not mounted", name)
		}
	}
}

// The pod is allowed what triggerd needs, and no more.
func TestPod(t *testing.T) {
	m := read(t)
	pod := &m.set.Spec.Template.Spec
	security := pod.Containers[0].SecurityContext
	if pod.SecurityContext == nil || !*pod.SecurityContext.RunAsNonRoot || *security.AllowPrivilegeEscalation ||
		!*security.ReadOnlyRootFilesystem || !slices.Contains(security.Capabilities.Drop, "ALL") || *pod.AutomountServiceAccountToken {
		t.Error("the pod may do more than it needs")
	}
	// By default the mirror takes 1 GiB, firings 10 GiB, and the spool 1 GiB.
	resources := pod.Containers[0].Resources
	if at := resources.Limits.Memory(); at.Cmp(resource.MustParse("1Gi")) <= 0 {
		t.Errorf("%s of memory, want more than max_mirror", at)
	}
	if at := m.set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage(); at.Cmp(resource.MustParse("11Gi")) <= 0 {
		t.Errorf("%s of disk, want more than firings and the spool", at)
	}
	// [defaults] shutdown_timeout and two seconds.
	if at := pod.TerminationGracePeriodSeconds; at == nil || *at < 12 {
		t.Errorf("%v s to end, want more than triggerd takes", at)
	}
}
