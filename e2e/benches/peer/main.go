// The peer of `make bench-operator`: an operator as one writes it with controller-runtime, for the same custom resources, with
// the same kinds and numbers of owned objects, finalizers, statuses and events as Sotto's operator makes for the workload of
// that bench. It makes no keys, signs no certificates and tells no relay anything: bytes of the same length take their place.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"os"

	"go.uber.org/zap/zapcore"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

var group = schema.GroupVersion{Group: "sotto.dev", Version: "v1alpha1"}

const (
	managedBy = "app.kubernetes.io/managed-by"
	manager   = "bench-peer"
	finalizer = "bench.example/relay-account"
	byNetwork = "spec.networkRef.name"
)

type ref struct {
	Name string `json:"name"`
}

type status struct {
	ObservedGeneration int64              `json:"observedGeneration"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// object is what the three kinds share; the rest of their specs nobody reads here.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Domain     string `json:"domain,omitempty"`
		NetworkRef ref    `json:"networkRef,omitzero"`
		Suspended  bool   `json:"suspended,omitempty"`
	} `json:"spec"`
	Status status `json:"status,omitzero"`
}

func (o *object) copyInto(out *object) {
	*out = *o
	o.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Status.Conditions = append([]metav1.Condition(nil), o.Status.Conditions...)
}

type (
	Network       struct{ object }
	SecurityGroup struct{ object }
	User          struct{ object }

	NetworkList struct {
		metav1.TypeMeta `json:",inline"`
		metav1.ListMeta `json:"metadata"`
		Items           []Network `json:"items"`
	}
	SecurityGroupList struct {
		metav1.TypeMeta `json:",inline"`
		metav1.ListMeta `json:"metadata"`
		Items           []SecurityGroup `json:"items"`
	}
	UserList struct {
		metav1.TypeMeta `json:",inline"`
		metav1.ListMeta `json:"metadata"`
		Items           []User `json:"items"`
	}
)

func (o *Network) DeepCopyObject() runtime.Object {
	out := new(Network)
	o.copyInto(&out.object)
	return out
}

func (o *SecurityGroup) DeepCopyObject() runtime.Object {
	out := new(SecurityGroup)
	o.copyInto(&out.object)
	return out
}

func (o *User) DeepCopyObject() runtime.Object {
	out := new(User)
	o.copyInto(&out.object)
	return out
}

func (l *NetworkList) DeepCopyObject() runtime.Object {
	out := &NetworkList{TypeMeta: l.TypeMeta, ListMeta: l.ListMeta, Items: make([]Network, len(l.Items))}
	for i := range l.Items {
		l.Items[i].copyInto(&out.Items[i].object)
	}
	return out
}

func (l *SecurityGroupList) DeepCopyObject() runtime.Object {
	out := &SecurityGroupList{TypeMeta: l.TypeMeta, ListMeta: l.ListMeta, Items: make([]SecurityGroup, len(l.Items))}
	for i := range l.Items {
		l.Items[i].copyInto(&out.Items[i].object)
	}
	return out
}

func (l *UserList) DeepCopyObject() runtime.Object {
	out := &UserList{TypeMeta: l.TypeMeta, ListMeta: l.ListMeta, Items: make([]User, len(l.Items))}
	for i := range l.Items {
		l.Items[i].copyInto(&out.Items[i].object)
	}
	return out
}

type kind interface {
	client.Object
	shared() *object
}

func (o *object) shared() *object { return o }

type operator struct {
	client.Client
	scheme   *runtime.Scheme
	recorder events.EventRecorder
}

// ensure creates what is missing. What is there stays: nobody else writes it in this bench.
func (o *operator) ensure(ctx context.Context, owner, wanted client.Object) error {
	have := wanted.DeepCopyObject().(client.Object)
	err := o.Get(ctx, client.ObjectKeyFromObject(wanted), have)
	if err == nil || !apierrors.IsNotFound(err) {
		return err
	}
	wanted.SetLabels(map[string]string{managedBy: manager, "bench.example/owner": owner.GetName()})
	if err := controllerutil.SetControllerReference(owner, wanted, o.scheme); err != nil {
		return err
	}
	return client.IgnoreAlreadyExists(o.Create(ctx, wanted))
}

// tell writes the status when it changed, and an event when Ready turned.
func (o *operator) tell(ctx context.Context, obj kind, ready bool, reason, message string) error {
	shared := obj.shared()
	before := shared.Status
	is := metav1.ConditionFalse
	if ready {
		is = metav1.ConditionTrue
	}
	not := metav1.ConditionTrue
	if ready {
		not = metav1.ConditionFalse
	}
	conditions := append([]metav1.Condition(nil), before.Conditions...)
	set := func(name string, value metav1.ConditionStatus) bool {
		return apimeta.SetStatusCondition(&conditions, metav1.Condition{
			Type: name, Status: value, Reason: reason, Message: message, ObservedGeneration: obj.GetGeneration(),
		})
	}
	turned := set("Ready", is)
	changed := set("Progressing", not) || turned
	changed = set("Degraded", metav1.ConditionFalse) || changed
	if !changed && before.ObservedGeneration == obj.GetGeneration() {
		return nil
	}
	shared.Status = status{ObservedGeneration: obj.GetGeneration(), Conditions: conditions}
	if err := o.Status().Update(ctx, obj); err != nil {
		return client.IgnoreNotFound(err)
	}
	if turned {
		o.recorder.Eventf(obj, nil, corev1.EventTypeNormal, reason, "Reconcile", message)
	}
	return nil
}

func random(length int) []byte {
	bytes := make([]byte, length)
	_, _ = rand.Read(bytes)
	return bytes
}

func (o *operator) network(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var network Network
	if err := o.Get(ctx, request.NamespacedName, &network); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	meta := func(suffix string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: network.Namespace, Name: network.Name + suffix}
	}
	secret := func(suffix string, data map[string]int) client.Object {
		secret := &corev1.Secret{ObjectMeta: meta(suffix), Data: map[string][]byte{}}
		for key, length := range data {
			secret.Data[key] = random(length)
		}
		return secret
	}
	tls := map[string]int{"tls.crt": 1700, "tls.key": 240, "ca.crt": 700}
	labels := map[string]string{"bench.example/network": network.Name}
	port := func(name string, port int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: port, TargetPort: intstr.FromInt32(port)}
	}
	one, always := int32(1), false
	wanted := []client.Object{
		secret("-ca", map[string]int{"ca.crt": 700, "ca.key": 300}),
		secret("-policy-key", map[string]int{"policy.key": 88, "policy.pub": 178}),
		secret("-relay-tls", tls),
		secret("-operator-tls", tls),
		secret("-relay-secrets", map[string]int{"secret": 64}),
		&corev1.ServiceAccount{ObjectMeta: meta("-relay"), AutomountServiceAccountToken: &always},
		&corev1.ConfigMap{ObjectMeta: meta("-relay"), Data: map[string]string{"relay.yaml": string(make1k())}},
		&corev1.PersistentVolumeClaim{ObjectMeta: meta("-relay-data"), Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")},
			},
		}},
		&corev1.Service{ObjectMeta: meta("-relay"), Spec: corev1.ServiceSpec{
			Selector: labels, Ports: []corev1.ServicePort{port("client", 443)},
		}},
		&corev1.Service{ObjectMeta: meta("-relay-admin"), Spec: corev1.ServiceSpec{
			Selector: labels, ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true,
			Ports: []corev1.ServicePort{port("admin", 9443), port("telemetry", 8080)},
		}},
		&appsv1.StatefulSet{ObjectMeta: meta("-relay"), Spec: appsv1.StatefulSetSpec{
			Replicas: &one, ServiceName: network.Name + "-relay-admin", Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{ServiceAccountName: network.Name + "-relay", Containers: []corev1.Container{{
					Name: "relay", Image: "registry.example/relay:1", Args: []string{"relay", "--config", "/etc/relay.yaml"},
					Ports: []corev1.ContainerPort{{Name: "client", ContainerPort: 8443}, {Name: "admin", ContainerPort: 9443}},
				}}},
			},
		}},
	}
	for _, object := range wanted {
		if err := o.ensure(ctx, &network, object); err != nil {
			return reconcile.Result{}, err
		}
	}
	var set appsv1.StatefulSet
	if err := o.Get(ctx, types.NamespacedName{Namespace: network.Namespace, Name: network.Name + "-relay"}, &set); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if set.Status.ObservedGeneration < set.Generation || set.Status.ReadyReplicas < 1 {
		return reconcile.Result{}, o.tell(ctx, &network, false, "RollingOut", "relay: 0 of 1 ready")
	}
	return reconcile.Result{}, o.tell(ctx, &network, true, "Reconciled", "relay serves this spec")
}

func make1k() []byte {
	bytes := make([]byte, 1000)
	for i := range bytes {
		bytes[i] = 'x'
	}
	return bytes
}

// ready says whether the object's network is.
func (o *operator) ready(ctx context.Context, namespace, name string) (bool, error) {
	var network Network
	err := o.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &network)
	if err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return apimeta.IsStatusConditionTrue(network.Status.Conditions, "Ready"), nil
}

func (o *operator) member(ctx context.Context, obj kind) error {
	ready, err := o.ready(ctx, obj.GetNamespace(), obj.shared().Spec.NetworkRef.Name)
	if err != nil {
		return err
	}
	if ready {
		return o.tell(ctx, obj, true, "Reconciled", "relay applies this spec")
	}
	return o.tell(ctx, obj, false, "WaitingForRelay", "the relay is starting")
}

func (o *operator) group(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var group SecurityGroup
	if err := o.Get(ctx, request.NamespacedName, &group); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	return reconcile.Result{}, o.member(ctx, &group)
}

func (o *operator) user(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var user User
	if err := o.Get(ctx, request.NamespacedName, &user); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !user.DeletionTimestamp.IsZero() {
		before := user.DeepCopyObject().(client.Object)
		if controllerutil.RemoveFinalizer(&user, finalizer) {
			return reconcile.Result{}, o.Patch(ctx, &user, client.MergeFrom(before))
		}
		return reconcile.Result{}, nil
	}
	before := user.DeepCopyObject().(client.Object)
	if controllerutil.AddFinalizer(&user, finalizer) {
		// A patch: our struct does not hold the whole spec.
		if err := o.Patch(ctx, &user, client.MergeFrom(before)); err != nil {
			return reconcile.Result{}, err
		}
	}
	invite := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: user.Namespace, Name: user.Name + "-invite"}}
	invite.Data = map[string][]byte{"invite": random(300), "code": random(32)}
	if err := o.ensure(ctx, &user, invite); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, o.member(ctx, &user)
}

func main() {
	workers := flag.Int("workers", 8, "reconciliations of a kind at a time")
	listen := flag.String("listen", "127.0.0.1:0", "health")
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.Level(zapcore.ErrorLevel)))
	if err := run(*workers, *listen); err != nil {
		println("peer:", err.Error())
		os.Exit(1)
	}
}

func run(workers int, listen string) error {
	scheme := runtime.NewScheme()
	if err := clientscheme.AddToScheme(scheme); err != nil {
		return err
	}
	scheme.AddKnownTypes(group, &Network{}, &NetworkList{}, &SecurityGroup{}, &SecurityGroupList{}, &User{}, &UserList{})
	metav1.AddToGroupVersion(scheme, group)
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	// The API server alone sets the pace.
	config.QPS = -1
	config.UserAgent = manager
	ours := labels.SelectorFromSet(labels.Set{managedBy: manager})
	only := cache.ByObject{Label: ours}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		HealthProbeBindAddress: listen,
		Metrics:                server.Options{BindAddress: "0"},
		// As one does who cares for memory: what is not ours is not kept, nor who wrote which field.
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}: only, &corev1.ServiceAccount{}: only, &corev1.ConfigMap{}: only,
				&corev1.PersistentVolumeClaim{}: only, &corev1.Service{}: only, &appsv1.StatefulSet{}: only,
			},
		},
	})
	if err != nil {
		return err
	}
	o := &operator{Client: manager.GetClient(), scheme: scheme, recorder: manager.GetEventRecorder("bench-peer")}
	index := func(object client.Object) error {
		return manager.GetFieldIndexer().IndexField(context.Background(), object, byNetwork, func(o client.Object) []string {
			return []string{o.(kind).shared().Spec.NetworkRef.Name}
		})
	}
	if err := index(&SecurityGroup{}); err != nil {
		return err
	}
	if err := index(&User{}); err != nil {
		return err
	}
	options := controller.Options{MaxConcurrentReconciles: workers}
	members := func(list func() client.ObjectList) handler.EventHandler {
		return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, network client.Object) []reconcile.Request {
			all := list()
			err := o.List(ctx, all, client.InNamespace(network.GetNamespace()), client.MatchingFields{byNetwork: network.GetName()})
			if err != nil {
				return nil
			}
			var requests []reconcile.Request
			_ = apimeta.EachListItem(all, func(item runtime.Object) error {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(item.(client.Object))})
				return nil
			})
			return requests
		})
	}
	changed := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))
	if err := ctrl.NewControllerManagedBy(manager).Named("network").For(&Network{}, changed).WithOptions(options).
		Owns(&corev1.Secret{}).Owns(&corev1.ServiceAccount{}).Owns(&corev1.ConfigMap{}).Owns(&corev1.PersistentVolumeClaim{}).
		Owns(&corev1.Service{}).Owns(&appsv1.StatefulSet{}).
		Complete(reconcile.Func(o.network)); err != nil {
		return err
	}
	if err := ctrl.NewControllerManagedBy(manager).Named("group").For(&SecurityGroup{}, changed).WithOptions(options).
		Watches(&Network{}, members(func() client.ObjectList { return &SecurityGroupList{} })).
		Complete(reconcile.Func(o.group)); err != nil {
		return err
	}
	if err := ctrl.NewControllerManagedBy(manager).Named("user").For(&User{}, changed).WithOptions(options).
		Owns(&corev1.Secret{}).Watches(&Network{}, members(func() client.ObjectList { return &UserList{} })).
		Complete(reconcile.Func(o.user)); err != nil {
		return err
	}
	if err := manager.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
