//! The question, put to the running control plane.

use std::path::Path;

use anyhow::{anyhow, bail};
use ec2::service::Service;

use super::options::{IpVersion, ReachOptions, Traffic};
use super::report::Report;
use crate::client::form_encode;
use crate::operator::{self, Keys};

/// One question.
#[derive(Clone, Debug)]
pub struct Question {
    pub source: String,
    pub destination: String,
    pub traffic: Traffic,
    pub source_port: Option<String>,
    pub ip_version: IpVersion,
    pub is_one_way: bool,
}

/// Who asks, and where; with the calls that are taken to be made.
pub struct Analyser<'o> {
    endpoint: &'o str,
    keys: Keys,
    data: Option<&'o Path>,
    what_if: Vec<String>,
}

impl<'o> Analyser<'o> {
    /// # Errors
    /// A file that cannot be read.
    pub fn of(options: &'o ReachOptions) -> anyhow::Result<Analyser<'o>> {
        let keys = Keys::of_environment().map_or_else(|| Keys::of_operator(options.data.as_deref()), Ok)?;
        let what_if = options.what_if.as_deref().map(super::lines::read).transpose()?.unwrap_or_default();
        let what_if = what_if.into_iter().map(|line| line.text).collect();
        Ok(Analyser { endpoint: &options.endpoint, keys, data: options.data.as_deref(), what_if })
    }

    /// # Errors
    /// The service's refusal; no answer.
    pub fn ask(&self, question: &Question) -> anyhow::Result<Report> {
        let service = Service::Peerway;
        let mut body = format!("Action=ExplainReachability&Version={}", service.version());
        let mut add = |name: &str, value: &str| body.push_str(&format!("&{name}={}", form_encode(value)));
        add("Source", &question.source);
        add("Destination", &question.destination);
        add("Protocol", &question.traffic.protocol);
        if let Some(ports) = &question.traffic.ports {
            add("DestinationPort", ports);
        }
        if let Some(ports) = &question.source_port {
            add("SourcePort", ports);
        }
        match question.ip_version {
            IpVersion::V4 => add("IpVersion", "4"),
            IpVersion::V6 => add("IpVersion", "6"),
            IpVersion::Both => {}
        }
        if question.is_one_way {
            add("OneWay", "true");
        }
        for (at, call) in self.what_if.iter().enumerate() {
            add(&format!("WhatIf.{}", at + 1), call);
        }
        let answer = operator::ask(self.endpoint, &self.keys, self.data, service, &body)?;
        if answer.status != "200" {
            let document = roxmltree::Document::parse(&answer.body);
            let text = |name: &str| -> Option<String> {
                let found = document.as_ref().ok()?.descendants().find(|node| node.tag_name().name() == name);
                found.and_then(|node| node.text()).map(Into::into)
            };
            bail!("{}: {}", text("Code").unwrap_or(answer.status), text("Message").unwrap_or_default());
        }
        Report::read(&answer.body)
            .ok_or_else(|| anyhow!("the answer cannot be read; is this the API of a peerway of this version?"))
    }
}
