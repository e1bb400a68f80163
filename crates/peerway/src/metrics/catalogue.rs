//! Every number that Prometheus can read here, by name. docs/operating/metrics.md has the same list for people; a test holds the two
//! against each other, and the dashboard against both.

/// What a metric is, as Prometheus has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for a restart.
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! catalogue {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub const $id: Metric = Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)+

        /// In the order of the page.
        pub const ALL: &[Metric] = &[$($id),+];
    };
}

catalogue! {
    INFO = Gauge "peerway_info" ["version"] "Always 1.";

    INTERFACE_PACKETS = Counter "peerway_interface_packets_total" ["host", "instance", "interface", "direction"] "Packets of a plugged-in interface; a super-frame is one.";
    INTERFACE_BYTES = Counter "peerway_interface_bytes_total" ["host", "instance", "interface", "direction"] "Bytes of a plugged-in interface, Ethernet headers included.";
    DROPPED = Counter "peerway_dropped_packets_total" ["host", "instance", "interface", "reason"] "Packets refused at an interface, by drop reason.";
    STRAY_DROPS = Counter "peerway_stray_drops_total" ["host", "reason", "cause"] "Packets refused where nobody knows whose they were.";
    LOOKUPS = Counter "peerway_flow_cache_lookups_total" ["host", "interface", "result"] "Packets decided from memory (hit) or by the law (miss).";
    INTERFACE_FLOWS = Gauge "peerway_interface_tracked_flows" ["host", "interface"] "Tracked flows of an interface.";
    FLOWS = Gauge "peerway_tracked_flows" ["host"] "Tracked flows of a host.";
    FLOWS_LIMIT = Gauge "peerway_tracked_flows_limit" ["host", "scope"] "Tracked flows at most, of the host or of one interface.";
    INSTANCES = Gauge "peerway_running_instances" ["host"] "Instances that run on a host.";
    IN_FORCE = Gauge "peerway_revision_in_force" ["host", "region"] "Revision of a region that a host's packets follow.";

    LINK_KEYS = Gauge "peerway_link_keys" ["host", "peer", "from", "to", "scope", "direction"] "Keys in force of a link.";
    LINK_KEY_AGE = Gauge "peerway_link_key_age_seconds" ["host", "peer", "from", "to", "scope", "direction"] "Age of a link's oldest key in force.";
    LINK_REKEYS = Counter "peerway_link_rekeys_total" ["host", "peer", "from", "to", "scope", "direction"] "Keys of a link that took the place of another.";
    LINK_PACKETS = Counter "peerway_link_packets_total" ["host", "peer", "from", "to", "scope", "direction"] "Packets sealed or opened.";
    LINK_BYTES = Counter "peerway_link_bytes_total" ["host", "peer", "from", "to", "scope", "direction"] "Bytes of inner packets sealed or opened.";
    LINK_REFUSED = Counter "peerway_link_refused_datagrams_total" ["host", "peer", "from", "to", "scope", "cause"] "Datagrams of a link that did not open (D17).";

    API_REQUESTS = Counter "peerway_api_requests_total" ["service", "action", "outcome"] "API requests: ok, refused (4xx) or failed (5xx).";
    API_DURATION = Histogram "peerway_api_request_duration_seconds" ["service", "action"] "From a request's last byte to its answer.";
    API_ERRORS = Counter "peerway_api_errors_total" ["code"] "Answers that say no, by AWS's error code.";
    API_REFUSALS = Counter "peerway_api_refused_requests_total" ["cause"] "Requests refused before anybody looked at what they ask, by cause.";
    LOST_LINES = Counter "peerway_lost_lines_total" ["log"] "Lines of the audit log and of events that are in no file.";
    CONVERGENCE = Histogram "peerway_convergence_duration_seconds" [] "From a commit until every connected host's packets follow it, or the wait is over.";
    CONVERGENCE_TIMEOUTS = Counter "peerway_convergence_timeouts_total" [] "Writes answered before every connected host had them in force.";
    HOST_CONNECTED = Gauge "peerway_host_connected" ["host"] "Whether a host is connected to the control plane.";
    HOST_BEHIND = Gauge "peerway_host_revisions_behind" ["host", "region"] "Revisions of a region that a connected host does not follow yet.";
    REVISION = Gauge "peerway_region_revision" ["region"] "Newest revision of a region.";
    OBJECTS = Gauge "peerway_objects" ["region", "kind"] "Things in a region.";
    WRITER_QUEUE = Gauge "peerway_writer_queue_length" ["region"] "Requests that wait for a region's writer.";
    COMMIT = Histogram "peerway_store_commit_duration_seconds" ["region"] "One batch of transactions written and synced.";
    TRANSACTIONS = Counter "peerway_store_transactions_total" ["region"] "Transactions given to the store.";
    TRANSACTIONS_REFUSED = Counter "peerway_store_refused_transactions_total" ["region"] "Transactions that the store did not take; most are done again.";
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const PAGE: &str = include_str!("../../../../docs/operating/metrics.md");
    const DASHBOARD: &str = include_str!("../../../../docs/operating/grafana-dashboard.json");

    /// Everything in a text that looks like one of our names.
    fn names(text: &str) -> BTreeSet<&str> {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with("peerway_"));
        words.collect()
    }

    #[test]
    fn names_are_prometheus_own_and_distinct() {
        let distinct: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(distinct.len(), ALL.len());
        for metric in ALL {
            assert_eq!(names(metric.name), BTreeSet::from([metric.name]));
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Histogram, metric.name.ends_with("_duration_seconds"), "{}", metric.name);
            assert!(
                metric.labels.iter().collect::<BTreeSet<_>>().len() == metric.labels.len()
                    && !metric.help.contains('\n')
            );
        }
    }

    /// One row for each: name, type, labels. Nothing in the one that is not in the other.
    #[test]
    fn the_page_for_people_lists_them_all_and_no_others() {
        let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
        let rows = PAGE.lines().filter(|line| line.starts_with("| `peerway_")).map(cells);
        let rows: BTreeMap<_, _> = rows.map(|row| (row[1].trim_matches('`'), (row[2], row[3]))).collect();
        for metric in ALL {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "-".into() } else { labels.join(", ") };
            assert_eq!(rows.get(metric.name), Some(&(metric.kind.name(), &*labels)), "{} in metrics.md", metric.name);
        }
        let known: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), known);
        let spoken: Vec<_> = names(PAGE).into_iter().filter(|name| !known.contains(base(name))).collect();
        assert_eq!(spoken, Vec::<&str>::new(), "metrics.md speaks of what there is not");
    }

    /// A histogram's series have names of their own.
    fn base(name: &str) -> &str {
        let of = |suffix| {
            let base = name.strip_suffix(suffix)?;
            ALL.iter().find(|metric| metric.name == base && metric.kind == Kind::Histogram).map(|metric| metric.name)
        };
        ["_bucket", "_sum", "_count"].into_iter().find_map(of).unwrap_or(name)
    }

    #[test]
    fn the_dashboard_asks_for_nothing_else() {
        let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
        let panels = dashboard["panels"].as_array().expect("panels");
        assert!(panels.len() >= 8);
        let known: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        let mut asked = BTreeSet::new();
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let targets = panel["targets"].as_array().unwrap_or_else(|| panic!("{} asks for nothing", panel["title"]));
            for target in targets {
                let query = target["expr"].as_str().expect("a query");
                let of_query = names(query);
                assert!(!of_query.is_empty(), "{query}");
                for name in of_query {
                    assert!(known.contains(base(name)), "{query} asks for {name}");
                    asked.insert(base(name));
                }
                for metric in ALL.iter().filter(|metric| names(query).iter().any(|name| base(name) == metric.name)) {
                    let by: Vec<_> = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next()).collect();
                    for label in by.iter().flat_map(|by| by.split(',')).map(str::trim).filter(|label| *label != "le") {
                        assert!(metric.labels.contains(&label), "{query}: {} has no label {label}", metric.name);
                    }
                }
            }
        }
        assert!(asked.len() * 2 > known.len(), "the dashboard shows too little: {asked:?}");
        for variable in dashboard["templating"]["list"].as_array().expect("variables") {
            let query = variable["query"]["query"].as_str().or(variable["query"].as_str()).unwrap_or_default();
            assert!(names(query).iter().all(|name| known.contains(base(name))), "{query}");
        }
    }
}
