import { test } from 'tap';
import { fakeHypervisor } from '../support/fake-hypervisor/fake-hypervisor.ts';
import { hypervisorConforms } from './conformance.ts';

hypervisorConforms(test, async () => fakeHypervisor());
