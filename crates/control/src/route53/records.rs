//! The records of a zone: a batch of changes is made whole or not at all.

use ec2::Error;
use ec2::route53::*;
use model::{HostedZone, RecordSet, RecordType};

use super::Desk;

/// Record sets of one zone (Route 53's quota), and bytes of all of them: a zone is one record of the store, whose transactions have
/// 1.5 MiB.
const RECORD_SETS_MAX: usize = 10_000;
const ZONE_BYTES_MAX: usize = 512 * 1024;

impl Desk<'_> {
    pub(super) fn change_records(
        &mut self,
        id: &str,
        comment: Option<String>,
        changes: Vec<ChangeInput>,
    ) -> Result<ChangeResponse, Error> {
        let mut zone = self.zone(id)?.clone();
        for change in changes {
            make(&mut zone, change).map_err(|message| invalid_change_batch(&[message]))?;
        }
        check_required(&zone).map_err(|message| invalid_change_batch(&[message]))?;
        check_size(&zone)?;
        self.put(zone);
        Ok(ChangeResponse { change_info: self.submitted(comment) })
    }

    /// In order of name, from its last label, then of type.
    pub(super) fn list_records(
        &self,
        id: &str,
        from: Option<&DomainName>,
        kind: Option<RecordType>,
        max_items: usize,
    ) -> Result<ListResourceRecordSetsResponse, Error> {
        let zone = self.zone(id)?;
        let mut sets: Vec<(&(String, RecordType), &RecordSet)> = zone.records.iter().collect();
        sets.sort_by_cached_key(|((name, kind), _)| {
            let labels: Vec<String> = order(name).into_iter().map(Into::into).collect();
            (labels, type_name(*kind))
        });
        let begins = |((name, of), _): &(&(String, RecordType), &RecordSet)| {
            let Some(from) = from else { return true };
            let from = (order(from.as_str()), kind.map(type_name).unwrap_or_default());
            (order(name), type_name(*of)) >= from
        };
        let mut sets = sets.into_iter().filter(begins);
        let item = |((name, kind), set): (&(String, RecordType), &RecordSet)| RecordSetItem {
            name: name.clone(),
            kind: *kind,
            set: set.clone(),
        };
        let page: Vec<RecordSetItem> = sets.by_ref().take(max_items).map(item).collect();
        let next = sets.next();
        Ok(ListResourceRecordSetsResponse {
            record_sets: List::new("ResourceRecordSet", page),
            is_truncated: next.is_some(),
            next_name: next.map(|((name, _), _)| escaped(name)),
            next_type: next.map(|((_, kind), _)| type_name(*kind)),
            max_items: max_items as u64,
        })
    }
}

/// Makes one change, or says why not in Route 53's words.
fn make(zone: &mut HostedZone, change: ChangeInput) -> Result<(), String> {
    let ChangeInput { action, name, kind, set } = change;
    let shown = format!("[name='{}', type='{}']", name.escaped(), type_name(kind));
    if !name.is_in(&zone.name) {
        return Err(format!("RRSet with DNS name {} is not permitted in zone {}", name.escaped(), zone.name));
    }
    let key = (name.to_string(), kind);
    let before = zone.records.get(&key);
    match (action, before) {
        (ChangeAction::Create, Some(_)) => {
            Err(format!("Tried to create resource record set {shown} but it already exists"))
        }
        (ChangeAction::Delete, None) => {
            Err(format!("Tried to delete resource record set {shown} but it was not found"))
        }
        (ChangeAction::Delete, Some(before)) if !is_same(before, &set) => Err(format!(
            "Tried to delete resource record set {shown} but the values provided do not match the current values"
        )),
        (ChangeAction::Delete, Some(_)) => {
            zone.records.remove(&key);
            Ok(())
        }
        (ChangeAction::Create | ChangeAction::Upsert, _) => {
            refuse_conflict(zone, &name, kind)?;
            zone.records.insert(key, set);
            Ok(())
        }
    }
}

/// The order of values means nothing.
fn is_same(a: &RecordSet, b: &RecordSet) -> bool {
    a.ttl == b.ttl && a.values.len() == b.values.len() && a.values.iter().all(|value| b.values.contains(value))
}

/// An alias stands alone (RFC 1034 3.6.2), and the zone itself is none; there is one authority.
fn refuse_conflict(zone: &HostedZone, name: &DomainName, kind: RecordType) -> Result<(), String> {
    let (shown, is_apex) = (name.escaped(), name.as_str() == zone.name);
    let has = |wanted: &dyn Fn(RecordType) -> bool| {
        zone.records.keys().any(|(other, of)| other == name.as_str() && wanted(*of))
    };
    if kind == RecordType::Cname && is_apex {
        return Err(format!(
            "RRSet of type CNAME with DNS name {shown} is not permitted at apex in zone {}",
            zone.name
        ));
    }
    if kind == RecordType::Soa && !is_apex {
        return Err(format!(
            "RRSet of type SOA with DNS name {shown} is not permitted below apex in zone {}",
            zone.name
        ));
    }
    if kind == RecordType::Cname && has(&|of| of != RecordType::Cname) {
        return Err(format!(
            "RRSet of type CNAME with DNS name {shown} is not permitted as it conflicts with other records with the same DNS name in zone {}",
            zone.name
        ));
    }
    if kind != RecordType::Cname && has(&|of| of == RecordType::Cname) {
        return Err(format!(
            "RRSet of type {} with DNS name {shown} is not permitted because a conflicting RRSet of type CNAME with the same DNS name already exists in zone {}",
            type_name(kind),
            zone.name
        ));
    }
    Ok(())
}

/// What a zone cannot be without.
fn check_required(zone: &HostedZone) -> Result<(), String> {
    let has = |kind| zone.records.contains_key(&(zone.name.clone(), kind));
    if !has(RecordType::Soa) {
        return Err("A HostedZone must contain exactly one SOA record.".into());
    }
    if !has(RecordType::Ns) {
        return Err("A HostedZone must contain at least one NS record for the zone itself.".into());
    }
    Ok(())
}

fn check_size(zone: &HostedZone) -> Result<(), Error> {
    let of_set = |((name, _), set): (&(String, RecordType), &RecordSet)| {
        // What stands around names and values in a record of the store.
        name.len() + 48 + set.values.iter().map(|value| value.len() * 2 + 4).sum::<usize>()
    };
    let (count, bytes) = (zone.records.len(), zone.records.iter().map(of_set).sum::<usize>());
    if count <= RECORD_SETS_MAX && bytes <= ZONE_BYTES_MAX {
        return Ok(());
    }
    Err(invalid_change_batch(&[format!(
        "The hosted zone would have {count} record sets of about {bytes} bytes; the limits are {RECORD_SETS_MAX} and {ZONE_BYTES_MAX}"
    )]))
}
