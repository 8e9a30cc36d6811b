import { join } from 'node:path';
import { KubectlV36Layer } from '@aws-cdk/lambda-layer-kubectl-v36';
import { Fn, Stack, StackProps } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as eks from 'aws-cdk-lib/aws-eks-v2';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import { acme } from './acme';

/** A cluster, the operator from our chart, and one network. */
export class SottoStack extends Stack {
  constructor(scope: Construct, id: string, props?: StackProps) {
    super(scope, id, props);

    const cluster = new eks.Cluster(this, 'Cluster', {
      version: eks.KubernetesVersion.V1_36,
      vpc: new ec2.Vpc(this, 'Vpc'),
      kubectlProviderOptions: { kubectlLayer: new KubectlV36Layer(this, 'Kubectl') },
    });

    // The chart brings the definitions of our kinds, and keeps them when it goes.
    const operator = cluster.addHelmChart('Operator', {
      release: 'sotto',
      namespace: 'sotto-system',
      chartAsset: new Asset(this, 'Chart', { path: join(__dirname, '../../../../charts/sotto') }),
      values: { image: { repository: 'registry.example/sotto', tag: '0.1.0' } },
      wait: true,
    });

    const namespace = cluster.addManifest('Namespace', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'acme', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    });

    const objects = new eks.KubernetesManifest(this, 'Acme', { cluster, manifest: acme('acme') });
    objects.node.addDependency(operator, namespace);
  }

  /** Two zones, chosen when the stack is deployed: to ask AWS for their names now would take credentials. */
  override get availabilityZones(): string[] {
    const zones = Fn.getAzs();
    return [Fn.select(0, zones), Fn.select(1, zones)];
  }
}
