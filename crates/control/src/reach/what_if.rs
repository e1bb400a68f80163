//! Calls not made yet, on copies of the Worlds: what they come to is thrown away after the question.

use std::collections::BTreeMap;

use ec2::{Caller, Error, Node, Request};
use model::federation::Message;
use model::{AccountId, Region, Time};
use serde_json::Value;

use super::Cloud;
use crate::{Seed, federation, handle};

/// Calls of one question.
const CALLS_MAX: usize = 200;
/// The bytes of one call.
const CALL_LEN_MAX: usize = 64 << 10;
/// What regions may have to tell each other after one call.
const ROUNDS_MAX: usize = 8;
/// Nested members of one call.
const DEPTH_MAX: usize = 8;

/// The cloud after these calls, each a JSON object: `Action`, `Account`, `Region`, and the action's parameters by their Query names;
/// lists and structures may be written as JSON's. `${1:vpcPeeringConnectionId}` in a value is the first element of that name in the
/// answer to call 1.
///
/// # Errors
/// What a call is refused with, with the call's number; `AccessDenied` for calls of other accounts.
pub(super) fn apply(cloud: &Cloud, caller: &Caller, calls: &[String], seed: Seed, now: Time) -> Result<Cloud, Error> {
    if calls.len() > CALLS_MAX {
        return Err(Error::invalid_parameter("WhatIf", calls.len(), "At most 200 calls can be tried at once."));
    }
    let mut cloud = cloud.clone();
    // What comes of it is asked, not when.
    cloud.values_mut().for_each(|(_, config)| config.timing = None);
    let mut answers: Vec<String> = Vec::new();
    for (at, text) in calls.iter().enumerate() {
        let mut seed = seed;
        // Another one for each call: ids must differ.
        seed.iter_mut().zip((at as u64 + 1).to_be_bytes()).for_each(|(byte, count)| *byte ^= count);
        let answer = one(&mut cloud, caller, text, &answers, seed, now).map_err(|error| {
            let message = format!("WhatIf call {}: {}", at + 1, error.message);
            Error { message, ..error }
        })?;
        answers.push(answer);
        deliver(&mut cloud, now);
    }
    Ok(cloud)
}

fn one(
    cloud: &mut Cloud,
    caller: &Caller,
    text: &str,
    answers: &[String],
    seed: Seed,
    now: Time,
) -> Result<String, Error> {
    let bad = |why: &str| Error::new("MalformedQueryString", why.to_owned());
    if text.len() > CALL_LEN_MAX {
        return Err(bad("A call has at most 65536 bytes"));
    }
    let call: Value = serde_json::from_str(text).map_err(|error| bad(&format!("It is no JSON: {error}")))?;
    let Value::Object(mut call) = call else {
        return Err(bad("A call is a JSON object such as {\"Action\": \"CreateRoute\", ..}"));
    };
    let mut take = |name: &str| call.remove(name).map(|value| value.as_str().map(str::to_owned).unwrap_or_default());
    let account: AccountId = match take("Account") {
        Some(text) => text.parse().map_err(|_| Error::invalid_parameter("Account", &text, "It has 12 digits."))?,
        None => caller.account,
    };
    if ![account, AccountId::OPERATOR].contains(&caller.account) {
        let message = format!("User: {} may not try calls of account {account}", caller.arn);
        return Err(Error::new("AccessDenied", message).with_status(403));
    }
    let region = take("Region");
    let region: Region = match (&region, cloud.keys().next()) {
        (Some(text), _) => {
            let known = text.parse().ok().filter(|region| cloud.contains_key(region));
            known.ok_or_else(|| Error::invalid_parameter("Region", text, "This cloud has no such region."))?
        }
        (None, Some(only)) if cloud.len() == 1 => *only,
        (None, _) => return Err(Error::missing_parameter("Region")),
    };
    let mut form = format!("Version={}", ec2::action::VERSION);
    write(&mut form, "", &Value::Object(call), answers, 0)?;
    let request = Request::parse(&Node::parse(form.as_bytes())?)?;
    let Some((world, config)) = cloud.get_mut(&region) else { return Err(Error::missing_parameter("Region")) };
    let outcome = handle(world, &Caller::root(account), request, config, seed, now)?;
    *world = world.apply(&outcome.changes);
    world.revision += 1;
    Ok(outcome.reply.render("what-if"))
}

/// JSON's members and items as the Query protocol names them.
fn write(form: &mut String, name: &str, value: &Value, answers: &[String], depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::new("MalformedQueryString", "The call is nested too deeply"));
    }
    let inside = |member: &str| if name.is_empty() { member.to_owned() } else { format!("{name}.{member}") };
    match value {
        Value::Object(members) => {
            members.iter().try_for_each(|(member, value)| write(form, &inside(member), value, answers, depth + 1))
        }
        Value::Array(items) => {
            let mut numbered = (1..).zip(items);
            numbered
                .try_for_each(|(n, value): (u64, _)| write(form, &inside(&n.to_string()), value, answers, depth + 1))
        }
        Value::String(text) => {
            pair(form, name, &filled(text, answers)?);
            Ok(())
        }
        Value::Bool(_) | Value::Number(_) => {
            pair(form, name, &value.to_string());
            Ok(())
        }
        Value::Null => Ok(()),
    }
}

fn pair(form: &mut String, name: &str, value: &str) {
    let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    form.push_str(&format!("&{}={}", encode(name), encode(value)));
}

/// With what earlier answers said in the places of `${1:name}`.
fn filled(text: &str, answers: &[String]) -> Result<String, Error> {
    let Some((before, rest)) = text.split_once("${") else { return Ok(text.into()) };
    let unknown = || {
        Error::invalid_value(format!(
            "'{text}' names nothing in an earlier answer; write ${{1:vpcPeeringConnectionId}} for what the answer to call 1 has there"
        ))
    };
    let (inside, after) = rest.split_once('}').ok_or_else(unknown)?;
    let (number, element) = inside.split_once(':').ok_or_else(unknown)?;
    let number: usize = number.parse().map_err(|_| unknown())?;
    let answer = number.checked_sub(1).and_then(|at| answers.get(at)).ok_or_else(unknown)?;
    let found = answer.split_once(&format!("<{element}>")).and_then(|(_, rest)| rest.split_once('<'));
    let (value, _) = found.ok_or_else(unknown)?;
    Ok(format!("{before}{value}{}", filled(after, answers)?))
}

/// What the regions have to tell each other, until they are silent: as the carriers do.
fn deliver(cloud: &mut Cloud, now: Time) {
    for _ in 0..ROUNDS_MAX {
        let mut is_silent = true;
        let regions: Vec<Region> = cloud.keys().copied().collect();
        for from in regions {
            let Some((world, config)) = cloud.get_mut(&from) else { continue };
            let changes = federation::deliver_here(world, config, now);
            is_silent &= changes.is_empty();
            *world = world.apply(&changes);
            let mut told: BTreeMap<Region, Vec<Message>> = BTreeMap::new();
            for (to, message) in federation::mirrors(world, from) {
                told.entry(to).or_default().push(message);
            }
            for (to, entries) in federation::outbox(world, from, federation::ENTRIES_MAX) {
                let changes = federation::delivered(world, &entries);
                is_silent &= changes.is_empty();
                *world = world.apply(&changes);
                told.entry(to).or_default().extend(entries.iter().map(|entry| entry.message.clone()));
            }
            for (to, messages) in told {
                let Some((world, config)) = cloud.get_mut(&to) else { continue };
                let changes = federation::receive(world, config, from, &messages, now);
                *world = world.apply(&changes);
            }
        }
        if is_silent {
            return;
        }
    }
}
