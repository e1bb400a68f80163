//! Cases with a name: what the random test found, and the spec's own scenarios. The data plane and the reference must agree, and on this.

mod regressions;
mod scenarios;
mod stage;
