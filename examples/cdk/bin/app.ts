import { App } from 'aws-cdk-lib';
import { SottoStack } from '../lib/stack';

// Put your account and region here. Nothing is looked up: `cdk synth` needs no credentials.
const env = { account: '111122223333', region: 'eu-central-1' };

new SottoStack(new App(), 'Sotto', { env });
