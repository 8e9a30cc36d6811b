// Generated from the types in crds/src by `cargo run --release -p sotto-crds --example generate`.

/** What every object has. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: { readonly [key: string]: string };
  readonly annotations?: { readonly [key: string]: string };
}

export const API_VERSION = 'sotto.dev/v1alpha1';

/**
 * A Network is one organisation's messaging network: its users with their configuration, one relay, one address
 * space (alice@chat.acme.example). The operator turns it into a relay, a federation gateway and their keys.
 */
export interface Network {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'Network';
  readonly metadata: ObjectMeta;
  readonly spec: NetworkSpec;
}

export function network(metadata: ObjectMeta, spec: NetworkSpec): Network {
  return { apiVersion: API_VERSION, kind: 'Network', metadata, spec };
}

/** What an organisation's messaging network is: its name, its address space, its relay, and whom it talks to. */
export interface NetworkSpec {
  /**
   * Whether clients may send anonymous metrics to this network's own relay. Default: false. This version keeps the
   * setting, but nothing acts on it yet.
   */
  readonly clientMetrics?: boolean;
  /**
   * A text that every user must acknowledge at sign-in. Default: none. This version keeps the setting, but nothing
   * acts on it yet.
   */
  readonly consentPopup?: NetworkConsentPopup;
  /**
   * What happens to the relay's volume and the network's keys when this object is deleted. Retain keeps them, and a
   * new Network of the same name takes them up again. Delete removes them for good. Default: Retain.
   */
  readonly deletionPolicy?: 'Retain' | 'Delete';
  /** The name people see, 1 to 20 characters. Default: the object's name, cut to 20 characters. */
  readonly displayName?: string;
  /**
   * The domain of the network's addresses: the part behind the @ in alice@chat.acme.example. A DNS name in lower
   * case. It need not resolve. It cannot be changed: it is part of every address and of everything that is signed.
   */
  readonly domain: string;
  /** Messages with other networks. Both sides must allow it. Default: Disabled. */
  readonly federation?: NetworkFederation;
  /** The container image of relay, gateway and retention processes. Default: see upgradePolicy. */
  readonly image?: string;
  /** Where metrics go. Default: nowhere. */
  readonly metrics?: NetworkMetrics;
  /**
   * Enabled: NetworkPolicies let relay, gateway and retention processes talk to whom they have to, and to nobody
   * else. Disabled: the operator makes none. Default: Enabled.
   */
  readonly networkPolicy?: 'Enabled' | 'Disabled';
  /**
   * Disabled: nobody sends read receipts. Enabled: users choose. ForceEnabled: everybody sends them. Default:
   * Enabled.
   */
  readonly readReceipts?: 'Disabled' | 'Enabled' | 'ForceEnabled';
  /** The relay: it stores and forwards sealed messages. */
  readonly relay?: NetworkRelay;
  /** Standard: messages may live up to 90 days. Premium: up to 365 days, and guests. Default: Standard. */
  readonly tier?: 'Standard' | 'Premium';
  /**
   * Which image runs where spec.image names none. Manual: the one that the network was rolled out with
   * (status.image), whatever version the operator becomes; status.availableImage says that the operator comes with
   * another one. Automatic: the operator's own; an upgrade of the operator then restarts relay, gateway and
   * retention processes. Default: Manual.
   */
  readonly upgradePolicy?: 'Manual' | 'Automatic';
}

/**
 * A text that every user must acknowledge at sign-in. Default: none. This version keeps the setting, but nothing
 * acts on it yet.
 */
export interface NetworkConsentPopup {
  /** The text in Markdown, up to 5000 characters. */
  readonly body: string;
  /** The word on the button, up to 20 characters. Default: Acknowledge. */
  readonly button?: string;
  /** The heading, up to 100 characters. */
  readonly header: string;
}

/** Messages with other networks. Both sides must allow it. Default: Disabled. */
export interface NetworkFederation {
  /** The gateway, which carries sealed messages between networks and keeps no state. */
  readonly gateway?: NetworkFederationGateway;
  /**
   * Disabled: no gateway runs, and nothing goes in or out. Restricted: messages with the peers listed here, for
   * users whose security group allows it. Default: Disabled.
   */
  readonly mode?: 'Disabled' | 'Restricted';
  /** The networks that messages may go to and come from, up to 100. */
  readonly peers?: readonly NetworkFederationPeers[];
}

/** The gateway, which carries sealed messages between networks and keeps no state. */
export interface NetworkFederationGateway {
  /** Where the gateways' pods run, and what else stands in them. */
  readonly pod?: NetworkFederationGatewayPod;
  /** The port of the gateway's Service, 1 to 65535. Default: 8448. */
  readonly port?: number;
  /**
   * How many gateways run, 1 to 10. Leave it out for an autoscaler: the operator then leaves the number alone.
   * Default: 1 at first.
   */
  readonly replicas?: number;
  /** Processor and memory of a gateway. Default: requests of 50m and 64Mi, a memory limit of 256Mi. */
  readonly resources?: NetworkFederationGatewayResources;
  /** How the Service for peers is reached. */
  readonly service?: NetworkFederationGatewayService;
}

/** Where the gateways' pods run, and what else stands in them. */
export interface NetworkFederationGatewayPod {
  /** Rules for the choice of a node; see `kubectl explain pod.spec.affinity`. */
  readonly affinity?: { readonly [key: string]: unknown };
  /** Annotations of the pods, beside the operator's own. sotto.dev/… is taken. */
  readonly annotations?: { readonly [key: string]: string };
  /** Secrets of type kubernetes.io/dockerconfigjson with which the image is pulled, up to 16. */
  readonly imagePullSecrets?: readonly NetworkFederationGatewayPodImagePullSecrets[];
  /**
   * Labels of the pods, beside the operator's own. sotto.dev/… and app.kubernetes.io/name, component and
   * managed-by are taken.
   */
  readonly labels?: { readonly [key: string]: string };
  /** The labels that a node must have. */
  readonly nodeSelector?: { readonly [key: string]: string };
  /** The PriorityClass of the pods. Default: the cluster's default. */
  readonly priorityClassName?: string;
  /**
   * Annotations of the pods' ServiceAccount, such as eks.amazonaws.com/role-arn for an IAM role (IRSA). A change
   * restarts the pods. sotto.dev/… is taken.
   */
  readonly serviceAccountAnnotations?: { readonly [key: string]: string };
  /** Taints that the pods tolerate, up to 16; see `kubectl explain pod.spec.tolerations`. */
  readonly tolerations?: readonly ({ readonly [key: string]: unknown })[];
  /**
   * How the pods are spread, up to 16; see `kubectl explain pod.spec.topologySpreadConstraints`. Without a
   * labelSelector the pods of this part are meant. Default: gateways are spread over nodes where possible when
   * there are several.
   */
  readonly topologySpreadConstraints?: readonly ({ readonly [key: string]: unknown })[];
}

/** Names an object of one kind in the same namespace. */
export interface NetworkFederationGatewayPodImagePullSecrets {
  /** `metadata.name` of the object. */
  readonly name: string;
}

/** Processor and memory of a gateway. Default: requests of 50m and 64Mi, a memory limit of 256Mi. */
export interface NetworkFederationGatewayResources {
  /** What the container may never exceed, by resource name: `cpu`, `memory`. Replaces our defaults as a whole. */
  readonly limits?: { readonly [key: string]: number | string };
  /** What the container is scheduled with, by resource name: `cpu`, `memory`. Replaces our defaults as a whole. */
  readonly requests?: { readonly [key: string]: number | string };
}

/** How the Service for peers is reached. */
export interface NetworkFederationGatewayService {
  /**
   * Annotations of the Service, such as service.beta.kubernetes.io/aws-load-balancer-type. sotto.dev/… is taken.
   */
  readonly annotations?: { readonly [key: string]: string };
  /** To which pods a Service leads from outside. */
  readonly externalTrafficPolicy?: 'Cluster' | 'Local';
  /**
   * With type LoadBalancer: which controller makes the load balancer, such as service.k8s.aws/nlb. Default: the
   * cluster's own.
   */
  readonly loadBalancerClass?: string;
  /** With type LoadBalancer: the addresses that may connect, such as 203.0.113.0/24, up to 64. Default: all. */
  readonly loadBalancerSourceRanges?: readonly string[];
  /**
   * ClusterIP: inside the cluster only. NodePort: on each node. LoadBalancer: by a load balancer of the cloud.
   * Default: ClusterIP.
   */
  readonly type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer';
}

/** Another network. */
export interface NetworkFederationPeers {
  /**
   * The certificate of the peer's authority in PEM (`kubectl get network NAME -o jsonpath={.status.caCertificate}`
   * there).
   */
  readonly caCertificate?: string;
  /** The peer's domain. Where a Network of that domain lives in the same namespace, this is all that is needed. */
  readonly domain: string;
  /** host:port of the peer's gateway. */
  readonly endpoint?: string;
  /** The fingerprint of the peer's policy key (`.status.policyKeyFingerprint` there). */
  readonly policyKeyFingerprint?: string;
}

/** Where metrics go. Default: nowhere. */
export interface NetworkMetrics {
  /** Amazon CloudWatch. Default: off. */
  readonly cloudWatch?: NetworkMetricsCloudWatch;
  /** The /metrics page for Prometheus. Default: off. */
  readonly prometheus?: NetworkMetricsPrometheus;
}

/** Amazon CloudWatch. Default: off. */
export interface NetworkMetricsCloudWatch {
  /**
   * A Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and where needed AWS_SESSION_TOKEN. Default: what the
   * pod's service account gives (IRSA, Pod Identity, instance role).
   */
  readonly credentialsSecretName?: string;
  /** Whether to publish. Default: false. */
  readonly enabled?: boolean;
  /** Another endpoint than AWS's own for the region, such as a VPC endpoint. */
  readonly endpointURL?: string;
  /** Seconds between two publications, 5 to 3600. Default: 60. */
  readonly intervalSeconds?: number;
  /** The CloudWatch namespace, up to 255 characters. Default: Sotto. */
  readonly namespace?: string;
  /** The AWS region, such as eu-central-1. Needed when enabled. */
  readonly region?: string;
}

/** The /metrics page for Prometheus. Default: off. */
export interface NetworkMetricsPrometheus {
  /** Whether /metrics is served. Default: false. */
  readonly enabled?: boolean;
}

/** The relay: it stores and forwards sealed messages. */
export interface NetworkRelay {
  /** An Ingress that leads the host of publicURL to the relay. Default: none. */
  readonly ingress?: NetworkRelayIngress;
  /** Where the relay's pod runs, and what else stands in it. */
  readonly pod?: NetworkRelayPod;
  /** The port of the relay's Service, 1 to 65535. Default: 443. */
  readonly port?: number;
  /**
   * Where clients reach the relay from outside, such as https://chat.acme.example, without a path; invites say it.
   * Default: the DNS name of the relay's Service, which clients inside the cluster reach.
   */
  readonly publicURL?: string;
  /** Processor and memory of the relay. Default: requests of 100m and 128Mi, a memory limit of 1Gi. */
  readonly resources?: NetworkRelayResources;
  /** A route of the Gateway API (1.5 or later) that leads the host of publicURL to the relay. Default: none. */
  readonly route?: NetworkRelayRoute;
  /** How the relay's Service is reached. */
  readonly service?: NetworkRelayService;
  /** The volume of the relay's store. */
  readonly storage?: NetworkRelayStorage;
  /** Transport encryption to clients. Messages are sealed end to end whatever stands here. */
  readonly tls?: NetworkRelayTls;
  /**
   * The networks of the proxies that stand before the relay, such as 10.0.0.0/8, up to 16. They are believed when
   * they say for whom they call (X-Forwarded-For), so that limits count by who calls and not by proxy. Default:
   * none.
   */
  readonly trustedProxies?: readonly string[];
}

/** An Ingress that leads the host of publicURL to the relay. Default: none. */
export interface NetworkRelayIngress {
  /**
   * Annotations of the Ingress. Clients keep a WebSocket open: set a read timeout of an hour there where the
   * controller has one. sotto.dev/… is taken.
   */
  readonly annotations?: { readonly [key: string]: string };
  /** The IngressClass. Default: the cluster's default class. */
  readonly className?: string;
  /**
   * The Secret of type kubernetes.io/tls that the Ingress ends TLS with. Default: the controller's own certificate.
   */
  readonly tlsSecretName?: string;
}

/** Where the relay's pod runs, and what else stands in it. */
export interface NetworkRelayPod {
  /** Rules for the choice of a node; see `kubectl explain pod.spec.affinity`. */
  readonly affinity?: { readonly [key: string]: unknown };
  /** Annotations of the pods, beside the operator's own. sotto.dev/… is taken. */
  readonly annotations?: { readonly [key: string]: string };
  /** Secrets of type kubernetes.io/dockerconfigjson with which the image is pulled, up to 16. */
  readonly imagePullSecrets?: readonly NetworkRelayPodImagePullSecrets[];
  /**
   * Labels of the pods, beside the operator's own. sotto.dev/… and app.kubernetes.io/name, component and
   * managed-by are taken.
   */
  readonly labels?: { readonly [key: string]: string };
  /** The labels that a node must have. */
  readonly nodeSelector?: { readonly [key: string]: string };
  /** The PriorityClass of the pods. Default: the cluster's default. */
  readonly priorityClassName?: string;
  /**
   * Annotations of the pods' ServiceAccount, such as eks.amazonaws.com/role-arn for an IAM role (IRSA). A change
   * restarts the pods. sotto.dev/… is taken.
   */
  readonly serviceAccountAnnotations?: { readonly [key: string]: string };
  /** Taints that the pods tolerate, up to 16; see `kubectl explain pod.spec.tolerations`. */
  readonly tolerations?: readonly ({ readonly [key: string]: unknown })[];
  /**
   * How the pods are spread, up to 16; see `kubectl explain pod.spec.topologySpreadConstraints`. Without a
   * labelSelector the pods of this part are meant. Default: gateways are spread over nodes where possible when
   * there are several.
   */
  readonly topologySpreadConstraints?: readonly ({ readonly [key: string]: unknown })[];
}

/** Names an object of one kind in the same namespace. */
export interface NetworkRelayPodImagePullSecrets {
  /** `metadata.name` of the object. */
  readonly name: string;
}

/** Processor and memory of the relay. Default: requests of 100m and 128Mi, a memory limit of 1Gi. */
export interface NetworkRelayResources {
  /** What the container may never exceed, by resource name: `cpu`, `memory`. Replaces our defaults as a whole. */
  readonly limits?: { readonly [key: string]: number | string };
  /** What the container is scheduled with, by resource name: `cpu`, `memory`. Replaces our defaults as a whole. */
  readonly requests?: { readonly [key: string]: number | string };
}

/** A route of the Gateway API (1.5 or later) that leads the host of publicURL to the relay. Default: none. */
export interface NetworkRelayRoute {
  /** Annotations of the route. sotto.dev/… is taken. */
  readonly annotations?: { readonly [key: string]: string };
  /**
   * TLSRoute: TLS goes through to the relay. HTTPRoute: the Gateway ends TLS; needs tls.mode Disabled. Default:
   * TLSRoute.
   */
  readonly kind?: 'TLSRoute' | 'HTTPRoute';
  /** The Gateways that the route is attached to, 1 to 8. */
  readonly parentRefs: readonly NetworkRelayRouteParentRefs[];
}

/** A Gateway. */
export interface NetworkRelayRouteParentRefs {
  /** The Gateway's name. */
  readonly name: string;
  /** Its namespace. Default: that of the Network. */
  readonly namespace?: string;
  /** The listener. Default: every listener that fits. */
  readonly sectionName?: string;
}

/** How the relay's Service is reached. */
export interface NetworkRelayService {
  /**
   * Annotations of the Service, such as service.beta.kubernetes.io/aws-load-balancer-type. sotto.dev/… is taken.
   */
  readonly annotations?: { readonly [key: string]: string };
  /** To which pods a Service leads from outside. */
  readonly externalTrafficPolicy?: 'Cluster' | 'Local';
  /**
   * With type LoadBalancer: which controller makes the load balancer, such as service.k8s.aws/nlb. Default: the
   * cluster's own.
   */
  readonly loadBalancerClass?: string;
  /** With type LoadBalancer: the addresses that may connect, such as 203.0.113.0/24, up to 64. Default: all. */
  readonly loadBalancerSourceRanges?: readonly string[];
  /**
   * ClusterIP: inside the cluster only. NodePort: on each node. LoadBalancer: by a load balancer of the cloud.
   * Default: ClusterIP.
   */
  readonly type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer';
}

/** The volume of the relay's store. */
export interface NetworkRelayStorage {
  /**
   * Size of the volume, such as `10Gi`. It can grow where the storage class allows it, and never shrinks. Default:
   * 10Gi.
   */
  readonly size?: string;
  /** The StorageClass to claim from; it cannot be changed later. Default: the cluster's default class. */
  readonly storageClassName?: string;
}

/** Transport encryption to clients. Messages are sealed end to end whatever stands here. */
export interface NetworkRelayTls {
  /** With mode CertManager: the issuer of the certificate. */
  readonly issuerRef?: NetworkRelayTlsIssuerRef;
  /**
   * NetworkAuthority: a certificate from the network's own authority, which clients know from their invite. Secret:
   * the certificate in secretName. CertManager: a certificate that cert-manager gets from issuerRef for the host of
   * publicURL. Disabled: plain HTTP, for a relay behind something that ends TLS. Default: NetworkAuthority.
   */
  readonly mode?: 'Disabled' | 'NetworkAuthority' | 'Secret' | 'CertManager';
  /** With mode Secret: the Secret of type kubernetes.io/tls with the keys tls.crt and tls.key. */
  readonly secretName?: string;
}

/** With mode CertManager: the issuer of the certificate. */
export interface NetworkRelayTlsIssuerRef {
  /** The API group of the issuer. Default: cert-manager.io. */
  readonly group?: string;
  /** Issuer, ClusterIssuer, or the kind of an external issuer. Default: Issuer. */
  readonly kind?: string;
  /** The issuer's name. */
  readonly name: string;
}

/**
 * A SecurityGroup is the permissions of a set of a network's users: sign-in, messages, calls, federation. A user is
 * in exactly one group; without one the network's default group, or our defaults, apply.
 */
export interface SecurityGroup {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'SecurityGroup';
  readonly metadata: ObjectMeta;
  readonly spec: SecurityGroupSpec;
}

export function securityGroup(metadata: ObjectMeta, spec: SecurityGroupSpec): SecurityGroup {
  return { apiVersion: API_VERSION, kind: 'SecurityGroup', metadata, spec };
}

/** The permissions of a set of users: sign-in, messages, calls, federation. */
export interface SecurityGroupSpec {
  /** Which calls users may make. */
  readonly calling?: SecurityGroupCalling;
  /** Whether users without a securityGroupRef are in this group. At most one group of a network. Default: false. */
  readonly default?: boolean;
  /** How a further device joins an account. */
  readonly devices?: SecurityGroupDevices;
  /** Whom users may talk to outside of their network. */
  readonly federation?: SecurityGroupFederation;
  /** Failed passwords before the device wipes its local data, 1 to 99, below lockoutThreshold. Default: never. */
  readonly forceDeviceLockout?: number;
  /**
   * Failed passwords from one place (address, IPv6 /64 or device) before the account locks for that place, 1 to
   * 100. Default: 10.
   */
  readonly lockoutThreshold?: number;
  /** What users may send, and how long it lives. */
  readonly messaging?: SecurityGroupMessaging;
  /** The Network, in the same namespace, whose users this group is for. It cannot be changed. */
  readonly networkRef: SecurityGroupNetworkRef;
  /** What a new password must have. */
  readonly passwordRequirements?: SecurityGroupPasswordRequirements;
  /** How long a sign-in lasts. */
  readonly sessions?: SecurityGroupSessions;
}

/** Which calls users may make. */
export interface SecurityGroupCalling {
  /** Whether users may start calls. Default: true. This version keeps the setting, but nothing acts on it yet. */
  readonly canStart11Call?: boolean;
  /**
   * Whether calls may have video. Needs canStart11Call. Default: true. This version keeps the setting, but nothing
   * acts on it yet.
   */
  readonly canVideoCall?: boolean;
  /** Whether calls go over TCP only. Default: false. This version keeps the setting, but nothing acts on it yet. */
  readonly forceTcpCall?: boolean;
}

/** How a further device joins an account. */
export interface SecurityGroupDevices {
  /** Whether a further device must be approved by a second factor. Default: false. */
  readonly approvalRequired?: boolean;
  /**
   * Whether a recovery key is shown, with which a user signs in without another device. Default: false. This
   * version keeps the setting, but nothing acts on it yet.
   */
  readonly recoveryKeyEnabled?: boolean;
}

/** Whom users may talk to outside of their network. */
export interface SecurityGroupFederation {
  /**
   * None: with nobody. Restricted: with the networks in permittedNetworks. All: with every peer of the network. The
   * network itself and the other side must allow it too. Default: None.
   */
  readonly mode?: 'None' | 'Restricted' | 'All';
  /** With mode Restricted: the domains of the networks, up to 100. */
  readonly permittedNetworks?: readonly string[];
}

/** What users may send, and how long it lives. */
export interface SecurityGroupMessaging {
  /** Whether received files may be saved; otherwise clients only preview them. Default: true. */
  readonly fileDownloadEnabled?: boolean;
  /** Whether files may be sent. Default: true. */
  readonly filesEnabled?: boolean;
  /**
   * Whether clients fetch previews of links. Default: false. This version keeps the setting, but nothing acts on it
   * yet.
   */
  readonly linkPreviewEnabled?: boolean;
  /**
   * Whether clients draw locations on a map, which asks a map service. Needs locationEnabled. Default: false. This
   * version keeps the setting, but nothing acts on it yet.
   */
  readonly locationAllowMaps?: boolean;
  /** Whether locations may be sent. Default: false. This version keeps the setting, but nothing acts on it yet. */
  readonly locationEnabled?: boolean;
  /**
   * Files up to this size are fetched without asking: 500Ki or 7Mi. Default: 500Ki. This version keeps the setting,
   * but nothing acts on it yet.
   */
  readonly maxAutoDownloadSize?: '500Ki' | '7Mi';
  /**
   * The longest burn-on-read that users may choose, counted from reading; not longer than maxTtl, because it never
   * extends the expiry. Default: maxTtl.
   */
  readonly maxBor?: string;
  /**
   * The longest expiry that users may choose, counted from sending: up to 90d in a Standard network and 365d in a
   * Premium one, at least 60s. Default: 30d.
   */
  readonly maxTtl?: string;
  /** Whether messages may be forwarded. Default: true. */
  readonly messageForwardingEnabled?: boolean;
  /**
   * Whether notifications show the text. Default: true. This version keeps the setting, but nothing acts on it yet.
   */
  readonly notificationPreviewEnabled?: boolean;
  /** Whether others see who is online. Default: true. */
  readonly presenceEnabled?: boolean;
  /** Texts offered as answers, up to 10, each up to 8000 characters. */
  readonly quickResponses?: readonly string[];
  /** Overwriting of deleted data on the device. */
  readonly shredder?: SecurityGroupMessagingShredder;
}

/** Overwriting of deleted data on the device. */
export interface SecurityGroupMessagingShredder {
  /**
   * Whether users may start it by hand. Default: true. This version keeps the setting, but nothing acts on it yet.
   */
  readonly canProcessManually?: boolean;
  /**
   * How eagerly freed storage is overwritten: 0 (not at all), 20, 60 or 100. Default: 20. This version keeps the
   * setting, but nothing acts on it yet.
   */
  readonly intensity?: number;
}

/** The Network, in the same namespace, whose users this group is for. It cannot be changed. */
export interface SecurityGroupNetworkRef {
  /** `metadata.name` of the object. */
  readonly name: string;
}

/** What a new password must have. */
export interface SecurityGroupPasswordRequirements {
  /** Lower-case letters, 0 to 32. Default: 0. */
  readonly lowercase?: number;
  /** Characters altogether, 8 to 128. Default: 12. */
  readonly minLength?: number;
  /** Digits, 0 to 32. Default: 0. */
  readonly numbers?: number;
  /** Other characters, 0 to 32. Default: 0. */
  readonly symbols?: number;
  /** Upper-case letters, 0 to 32. Default: 0. */
  readonly uppercase?: number;
}

/** How long a sign-in lasts. */
export interface SecurityGroupSessions {
  /**
   * Whether the client asks for the password at every start. Default: false. This version keeps the setting, but
   * nothing acts on it yet.
   */
  readonly alwaysReauthenticate?: boolean;
  /**
   * How long one sign-in lasts, 60m to 365d. Default: without end. This version keeps the setting, but nothing acts
   * on it yet.
   */
  readonly maxSession?: string;
}

/**
 * A User is a person with an address in a Network: username@domain. The operator makes an invite for each new user,
 * in the Secret that status.inviteSecretName names; who opens it chooses a password that no server ever sees.
 */
export interface User {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'User';
  readonly metadata: ObjectMeta;
  readonly spec: UserSpec;
}

export function user(metadata: ObjectMeta, spec: UserSpec): User {
  return { apiVersion: API_VERSION, kind: 'User', metadata, spec };
}

/** A person's place in a network. */
export interface UserSpec {
  /**
   * Whether clients show the user as an administrator of the network. It gives no right in Kubernetes. Default:
   * false. This version keeps the setting, but nothing acts on it yet.
   */
  readonly admin?: boolean;
  /**
   * The e-mail address that an invite is meant for. It is not the user's address in the network, and the relay does
   * not learn it.
   */
  readonly email?: string;
  /**
   * First name, up to 100 characters. First and last name are shown to everybody beside the address, never in its
   * place, and kept in records: signed by the operator, so that no relay can change them. No characters that are
   * not seen, and none of @ < > ( ) [ ] { } " : ; | and backslash.
   */
  readonly firstName?: string;
  /** The invite that a new user registers with. */
  readonly invite?: UserInvite;
  /** Last name, up to 100 characters; the same as of the first name. */
  readonly lastName?: string;
  /** The Network, in the same namespace, that the user belongs to. It cannot be changed. */
  readonly networkRef: UserNetworkRef;
  /**
   * What has to be done once: for a lost device, a lost password, a lockout. Each field takes a word of your
   * choice, such as a date. The operator acts once when the word is another one than that of status.reset, where it
   * writes down what it has done; removing a word does nothing, and so do words that a User has from its beginning.
   */
  readonly reset?: UserReset;
  /**
   * The user's SecurityGroup, in the same namespace and of the same network. Default: the network's default group.
   */
  readonly securityGroupRef?: UserSecurityGroupRef;
  /** A suspended user is out within seconds and stays out; nothing is deleted. Default: false. */
  readonly suspended?: boolean;
  /**
   * The part of the address before the @, 1 to 64 characters of a-z, 0-9 and . _ + - (no dot at either end). It is
   * not an e-mail address: the address is username@domain, with the domain of the Network. It cannot be changed.
   * Default: the object's name.
   */
  readonly username?: string;
}

/** The invite that a new user registers with. */
export interface UserInvite {
  /**
   * How long an invite can be used, 1h to 90d; then the operator makes a new one, as long as the user has not
   * registered. Default: 7d.
   */
  readonly ttl?: string;
}

/** The Network, in the same namespace, that the user belongs to. It cannot be changed. */
export interface UserNetworkRef {
  /** `metadata.name` of the object. */
  readonly name: string;
}

/**
 * What has to be done once: for a lost device, a lost password, a lockout. Each field takes a word of your choice,
 * such as a date. The operator acts once when the word is another one than that of status.reset, where it writes
 * down what it has done; removing a word does nothing, and so do words that a User has from its beginning.
 */
export interface UserReset {
  /**
   * Removes all devices of the user and ends their sessions. What waited for them is lost. The user adds devices
   * again with the password, and where the security group wants approval of devices, with the recovery key.
   */
  readonly devices?: string;
  /**
   * Makes a new invite, in the Secret that status.inviteSecretName names; one that is still open ends. Who has
   * registered and opens it gets a new password and a new identity, which the user's contacts are shown, and loses
   * devices and what waited for them. Until the new invite is opened nothing changes; without the word it is
   * withdrawn.
   */
  readonly invite?: string;
  /** Ends a lockout after wrong passwords. */
  readonly lockout?: string;
}

/**
 * The user's SecurityGroup, in the same namespace and of the same network. Default: the network's default group.
 */
export interface UserSecurityGroupRef {
  /** `metadata.name` of the object. */
  readonly name: string;
}

/**
 * A RetentionPolicy says whose conversations are kept in clear text, and where. The operator runs a retention
 * process that is a recipient of every conversation the policy covers; clients show that a conversation is
 * retained.
 */
export interface RetentionPolicy {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'RetentionPolicy';
  readonly metadata: ObjectMeta;
  readonly spec: RetentionPolicySpec;
}

export function retentionPolicy(metadata: ObjectMeta, spec: RetentionPolicySpec): RetentionPolicy {
  return { apiVersion: API_VERSION, kind: 'RetentionPolicy', metadata, spec };
}

/** Whose conversations are kept in clear text, and where. */
export interface RetentionPolicySpec {
  /**
   * What happens to the volumes and keys of the retention process when this object is deleted. Retain keeps them,
   * and a new RetentionPolicy of the same name takes them up again. Delete removes them for good, with the records
   * on them. Objects in a bucket are never touched. Default: Retain.
   */
  readonly deletionPolicy?: 'Retain' | 'Delete';
  /** Where the records go: a volume, or an S3 bucket. */
  readonly destination: RetentionPolicyDestination;
  /** The switch: false lets new messages go unretained and keeps what was retained. Default: true. */
  readonly enabled?: boolean;
  /** The Network, in the same namespace, that the policy is for. It cannot be changed. */
  readonly networkRef: RetentionPolicyNetworkRef;
  /** Where the pod of the retention process runs, and what else stands in it. */
  readonly pod?: RetentionPolicyPod;
  /** Processor and memory of the retention process. Default: requests of 50m and 64Mi, a memory limit of 512Mi. */
  readonly resources?: RetentionPolicyResources;
  /**
   * Whose conversations are kept: a conversation is covered when its sender or a recipient is. Default: all users.
   */
  readonly scope?: RetentionPolicyScope;
}

/** Where the records go: a volume, or an S3 bucket. */
export interface RetentionPolicyDestination {
  /** An S3 bucket; one JSON object a message. */
  readonly s3?: RetentionPolicyDestinationS3;
  /** A volume that the operator claims; one JSON document a message. */
  readonly volume?: RetentionPolicyDestinationVolume;
}

/** An S3 bucket; one JSON object a message. */
export interface RetentionPolicyDestinationS3 {
  /** The bucket's name, 3 to 63 characters. */
  readonly bucket: string;
  /**
   * A Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and where needed AWS_SESSION_TOKEN. Default: what the
   * pod's service account gives (IRSA, Pod Identity, instance role).
   */
  readonly credentialsSecretName?: string;
  /** Another endpoint than AWS's own for the region, such as a VPC endpoint or another S3-compatible service. */
  readonly endpointURL?: string;
  /** The KMS key that S3 encrypts the objects with. Default: the bucket's own setting. */
  readonly kmsKeyARN?: string;
  /** What the objects' keys begin with, such as chat/acme. Default: nothing. */
  readonly prefix?: string;
  /** The AWS region, such as eu-central-1. */
  readonly region: string;
}

/** A volume that the operator claims; one JSON document a message. */
export interface RetentionPolicyDestinationVolume {
  /** The folder in the volume, relative. Default: records. */
  readonly path?: string;
  /** The volume itself. */
  readonly storage?: RetentionPolicyDestinationVolumeStorage;
}

/** The volume itself. */
export interface RetentionPolicyDestinationVolumeStorage {
  /**
   * Size of the volume, such as `10Gi`. It can grow where the storage class allows it, and never shrinks. Default:
   * 10Gi.
   */
  readonly size?: string;
  /** The StorageClass to claim from; it cannot be changed later. Default: the cluster's default class. */
  readonly storageClassName?: string;
}

/** The Network, in the same namespace, that the policy is for. It cannot be changed. */
export interface RetentionPolicyNetworkRef {
  /** `metadata.name` of the object. */
  readonly name: string;
}

/** Where the pod of the retention process runs, and what else stands in it. */
export interface RetentionPolicyPod {
  /** Rules for the choice of a node; see `kubectl explain pod.spec.affinity`. */
  readonly affinity?: { readonly [key: string]: unknown };
  /** Annotations of the pods, beside the operator's own. sotto.dev/… is taken. */
  readonly annotations?: { readonly [key: string]: string };
  /** Secrets of type kubernetes.io/dockerconfigjson with which the image is pulled, up to 16. */
  readonly imagePullSecrets?: readonly RetentionPolicyPodImagePullSecrets[];
  /**
   * Labels of the pods, beside the operator's own. sotto.dev/… and app.kubernetes.io/name, component and
   * managed-by are taken.
   */
  readonly labels?: { readonly [key: string]: string };
  /** The labels that a node must have. */
  readonly nodeSelector?: { readonly [key: string]: string };
  /** The PriorityClass of the pods. Default: the cluster's default. */
  readonly priorityClassName?: string;
  /**
   * Annotations of the pods' ServiceAccount, such as eks.amazonaws.com/role-arn for an IAM role (IRSA). A change
   * restarts the pods. sotto.dev/… is taken.
   */
  readonly serviceAccountAnnotations?: { readonly [key: string]: string };
  /** Taints that the pods tolerate, up to 16; see `kubectl explain pod.spec.tolerations`. */
  readonly tolerations?: readonly ({ readonly [key: string]: unknown })[];
  /**
   * How the pods are spread, up to 16; see `kubectl explain pod.spec.topologySpreadConstraints`. Without a
   * labelSelector the pods of this part are meant. Default: gateways are spread over nodes where possible when
   * there are several.
   */
  readonly topologySpreadConstraints?: readonly ({ readonly [key: string]: unknown })[];
}

/** Names an object of one kind in the same namespace. */
export interface RetentionPolicyPodImagePullSecrets {
  /** `metadata.name` of the object. */
  readonly name: string;
}

/** Processor and memory of the retention process. Default: requests of 50m and 64Mi, a memory limit of 512Mi. */
export interface RetentionPolicyResources {
  /** What the container may never exceed, by resource name: `cpu`, `memory`. Replaces our defaults as a whole. */
  readonly limits?: { readonly [key: string]: number | string };
  /** What the container is scheduled with, by resource name: `cpu`, `memory`. Replaces our defaults as a whole. */
  readonly requests?: { readonly [key: string]: number | string };
}

/**
 * Whose conversations are kept: a conversation is covered when its sender or a recipient is. Default: all users.
 */
export interface RetentionPolicyScope {
  /**
   * Everybody in the network. Default: true when securityGroups is left out with the whole scope, otherwise false.
   */
  readonly allUsers?: boolean;
  /** The users of these SecurityGroups, by name, up to 100. */
  readonly securityGroups?: readonly string[];
}
