import { Network, network, SecurityGroup, securityGroup, User, user } from './sotto';

/** The same objects as in examples/single-network. */
export function acme(namespace: string): (Network | SecurityGroup | User)[] {
  const networkRef = { name: 'acme' };
  const person = (name: string, firstName: string, lastName: string, group?: string) =>
    user(
      { name, namespace },
      { networkRef, firstName, lastName, ...(group === undefined ? {} : { securityGroupRef: { name: group } }) },
    );
  return [
    network(
      { name: 'acme', namespace },
      {
        displayName: 'Acme',
        domain: 'chat.acme.example',
        tier: 'Standard',
        relay: {
          port: 443,
          storage: { size: '10Gi' },
          resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '1Gi' } },
        },
        metrics: { prometheus: { enabled: true } },
        deletionPolicy: 'Retain',
      },
    ),
    securityGroup(
      { name: 'staff', namespace },
      {
        networkRef,
        // Users who name no group are in this one.
        default: true,
        lockoutThreshold: 10,
        passwordRequirements: { minLength: 12 },
        messaging: { maxTtl: '30d' },
      },
    ),
    securityGroup(
      { name: 'contractors', namespace },
      { networkRef, lockoutThreshold: 5, passwordRequirements: { minLength: 16 }, messaging: { maxTtl: '7d' } },
    ),
    person('alice', 'Alice', 'Adams'),
    person('bob', 'Bob', 'Brown'),
    person('dora', 'Dora', 'Dean', 'contractors'),
  ];
}
