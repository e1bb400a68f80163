//! An answer for people: the verdict, a ladder of hops, and what mends it.

use std::fmt::{self, Write as _};

use super::report::{Answer, Blocker, Case, Hop, Report};

/// How a report is shown.
pub struct Ladder<'r> {
    pub report: &'r Report,
    pub is_coloured: bool,
}

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

impl Ladder<'_> {
    fn paint(&self, colour: &str, text: &str) -> String {
        if self.is_coloured { format!("{colour}{text}{PLAIN}") } else { text.into() }
    }

    fn verdict(&self, reachable: bool, text: &str) -> String {
        self.paint(if reachable { GREEN } else { RED }, text)
    }

    fn answer(&self, f: &mut fmt::Formatter<'_>, answer: &Answer) -> fmt::Result {
        let destination = match &answer.destination_interface {
            Some(interface) => format!("{} ({interface})", answer.destination_address),
            None => answer.destination_address.clone(),
        };
        writeln!(f, "\n{} ({}) to {destination}", answer.source_address, answer.source_interface)?;
        // What passes needs no ladder beside one that does not.
        let is_vacant =
            |case: &&Case| case.vacant == Some(true) && answer.cases.iter().any(|case| case.vacant.is_none());
        for case in answer.cases.iter().filter(is_vacant) {
            writeln!(f, "{}{}: nobody has it", answer.protocol, ports(case))?;
        }
        let blocked = answer.cases.iter().filter(|case| !case.reachable && !is_vacant(case));
        let shown: Vec<&Case> = if answer.reachable {
            answer.cases.iter().filter(|case| !is_vacant(case)).collect()
        } else {
            blocked.collect()
        };
        for case in answer.cases.iter().filter(|case| case.reachable && !answer.reachable) {
            writeln!(f, "{}{}: {}", answer.protocol, ports(case), self.paint(GREEN, "passes"))?;
        }
        shown.into_iter().try_for_each(|case| self.case(f, answer, case))
    }

    fn case(&self, f: &mut fmt::Formatter<'_>, answer: &Answer, case: &Case) -> fmt::Result {
        writeln!(f, "{}{}", answer.protocol, ports(case))?;
        for (name, hops) in [("there", &case.forward), ("back", &case.back)] {
            let Some((first, last)) = hops.first().zip(hops.last()) else { continue };
            writeln!(f, "\n  {name}  {}", first.header_before)?;
            hops.iter().try_for_each(|hop| self.hop(f, hop))?;
            writeln!(f, "  {:width$}  {}", "", last.header_after, width = name.len())?;
        }
        case.blockers.iter().try_for_each(|blocker| self.blocker(f, blocker))?;
        if !case.complete {
            writeln!(f, "\nWhat stands behind the last of these is not known: nothing is known here that mends it.")?;
        }
        Ok(())
    }

    fn hop(&self, f: &mut fmt::Formatter<'_>, hop: &Hop) -> fmt::Result {
        let numbers: String = hop.blocker_numbers.iter().map(|number| format!("[{number}] ")).collect();
        let mark = if hop.passes { self.paint(GREEN, "✓") } else { self.paint(RED, "✗") };
        // Where something stands in the way, the rule would be the mended one's.
        let text = match (hop.passes, hop.text.is_empty()) {
            (true, true) => format!("of account {}", hop.account),
            (true, false) => hop.text.clone(),
            (false, _) => numbers.trim_end().to_owned(),
        };
        writeln!(f, "    {mark} {:24} {text}", hop.stage)?;
        // What a gateway makes of it.
        match hop.header_before == hop.header_after {
            true => Ok(()),
            false => writeln!(f, "      {:24} {}", "", hop.header_after),
        }
    }

    fn blocker(&self, f: &mut fmt::Formatter<'_>, blocker: &Blocker) -> fmt::Result {
        let way = if blocker.way == "back" { " on the way back" } else { "" };
        writeln!(f, "\n{} {}", self.paint(RED, &format!("[{}]", blocker.number)), blocker.text)?;
        let code = blocker.explanation_code.as_deref().map(|code| format!("{code}, ")).unwrap_or_default();
        writeln!(f, "    {code}{}{way}, account {} in {}", blocker.stage, blocker.account, blocker.region)?;
        for mend in &blocker.mends {
            writeln!(f, "    account {}:\n      {}", mend.account, mend.aws_cli)?;
            for line in mend.terraform.lines() {
                writeln!(f, "        {line}")?;
            }
        }
        Ok(())
    }
}

/// ` port 443 from source ports 32768-60999`, with the addresses where they are many.
fn ports(case: &Case) -> String {
    let mut text = String::new();
    let name = |ports: &str| if ports.contains('-') { "ports" } else { "port" };
    if let Some(ports) = &case.destination_ports {
        let _ = write!(text, " {} {ports}", name(ports));
    }
    if let Some(ports) = &case.source_ports {
        let _ = write!(text, " from source {} {ports}", name(ports));
    }
    for (word, addresses) in [("from", &case.sources), ("to", &case.destinations)] {
        if !addresses.is_empty() {
            let _ = write!(text, ", {word} {}", addresses.join(", "));
        }
    }
    text
}

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        writeln!(f, "{}", self.verdict(report.reachable, &report.verdict))?;
        if let Some(now) = report.reachable_now {
            let now = if now { "reachable" } else { "not reachable" };
            writeln!(f, "With the calls of --what-if; without them it is {now}.")?;
        }
        report.answers.iter().try_for_each(|answer| self.answer(f, answer))?;
        writeln!(f, "\nTaken for granted: {}.", report.assumptions.join("; "))
    }
}
