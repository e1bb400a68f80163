//! Network Insights analyses (spec 12.2.2): answers of one moment, kept until they are deleted or 120 days old.

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::insights::*;
use ec2::{Error, Operation};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Query, passes};
use crate::insights::end::Arn;
use crate::insights::{Via, analyse};
use crate::rules::texts;
use crate::timing::Wait;

const KIND: &str = "network-insights-analysis";

/// Accounts, and ARNs of each kind, that one request may name.
const LIST_MAX: usize = 100;
/// The longest ARN that AWS takes, in bytes.
const ARN_MAX: usize = 1283;

impl Handle for StartNetworkInsightsAnalysis {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<StartNetworkInsightsAnalysisResponse, Error> {
        let token = Some(self.client_token.as_str());
        if let Some(earlier) = cloud.replay::<InsightsAnalysisId>(Self::NAME, token)? {
            let analysis = cloud.owned::<NetworkInsightsAnalysis>(earlier)?;
            return Ok(StartNetworkInsightsAnalysisResponse { network_insights_analysis: item(cloud, &analysis) });
        }
        let tags = TagSpecification::tags(&self.tag_specifications, &[KIND], KIND)?;
        check_length("AdditionalAccount", self.additional_accounts.len())?;
        check_arns("FilterInArn", &self.filter_in_arns)?;
        check_arns("FilterOutArn", &self.filter_out_arns)?;
        let path = cloud.owned::<NetworkInsightsPath>(self.network_insights_path_id)?;
        let max = cloud.config.quotas.network_insights_analyses;
        if cloud.own_count::<NetworkInsightsAnalysis>() >= max {
            let message = format!(
                "You have reached the limit of {max} network insights analyses in this region; delete some first"
            );
            return Err(Error::new("NetworkInsightsAnalysis.LimitExceeded", message));
        }
        let findings = analyse(cloud, &path, &Via { through: &self.filter_in_arns, around: &self.filter_out_arns });
        let analysis = NetworkInsightsAnalysis {
            id: cloud.draw.id(),
            owner: cloud.caller.account,
            path: path.id,
            started: cloud.now,
            additional_accounts: self.additional_accounts,
            filter_in: self.filter_in_arns,
            filter_out: self.filter_out_arns,
            findings,
            tags,
        };
        cloud.remember(Self::NAME, token, analysis.id);
        cloud.put(analysis.clone());
        cloud.takes_time(analysis.id, Phase::Running, Wait::Analysis);
        // The findings are there already; clients wait for the next state all the same, as on AWS.
        Ok(StartNetworkInsightsAnalysisResponse { network_insights_analysis: running(item(cloud, &analysis)) })
    }
}

fn check_length(name: &str, length: usize) -> Result<(), Error> {
    if length > LIST_MAX {
        return Err(Error::invalid_parameter(name, length, &format!("Name at most {LIST_MAX}.")));
    }
    Ok(())
}

fn check_arns(name: &str, arns: &[String]) -> Result<(), Error> {
    check_length(name, arns.len())?;
    let is_plain = |arn: &String| arn.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    let wrong = arns.iter().find(|arn| arn.len() > ARN_MAX || !is_plain(arn) || Arn::parse(arn).is_none());
    match wrong {
        Some(wrong) => {
            let shown: String = wrong.chars().take(ARN_MAX).collect();
            Err(Error::invalid_parameter(name, shown, "Expected an ARN of a resource of EC2."))
        }
        None => Ok(()),
    }
}

impl Handle for DeleteNetworkInsightsAnalysis {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteNetworkInsightsAnalysisResponse, Error> {
        let analysis = cloud.owned::<NetworkInsightsAnalysis>(self.network_insights_analysis_id)?;
        cloud.delete::<NetworkInsightsAnalysis>(analysis.id);
        Ok(DeleteNetworkInsightsAnalysisResponse { network_insights_analysis_id: analysis.id })
    }
}

impl Handle for DescribeNetworkInsightsAnalyses {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNetworkInsightsAnalysesResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let ids = &self.network_insights_analysis_ids;
        Query { ids, filters: &self.filters, page }.check(FILTERS)?;
        page.check::<InsightsAnalysisId>()?;
        ids.iter().try_for_each(|id| cloud.owned::<NetworkInsightsAnalysis>(*id).map(drop))?;
        if let Some(path) = self.network_insights_path_id {
            cloud.owned::<NetworkInsightsPath>(path)?;
        }
        let wanted = cloud.own::<NetworkInsightsAnalysis>().filter(|analysis| {
            (ids.is_empty() || ids.contains(&analysis.id))
                && self.network_insights_path_id.is_none_or(|path| path == analysis.path)
                && self.analysis_start_time.is_none_or(|start| analysis.started >= start)
                && self.analysis_end_time.is_none_or(|end| analysis.started <= end)
                && passes(&self.filters, &analysis.tags, |name| values(cloud, analysis, name))
        });
        let (page, next_token) = page.cut(1..=100, wanted, |analysis| analysis.id.to_string())?;
        let network_insights_analyses = page.iter().map(|analysis| current(cloud, analysis)).collect();
        Ok(DescribeNetworkInsightsAnalysesResponse { network_insights_analyses, next_token })
    }
}

/// The filters, without those of tags.
const FILTERS: &[&str] = &["path-found", "status"];

fn values(cloud: &Cloud<'_>, analysis: &NetworkInsightsAnalysis, filter: &str) -> Vec<String> {
    match filter {
        "path-found" => texts(analysis.findings.path_found.filter(|_| cloud.world().is_settled(analysis.id))),
        _ => texts([cloud.word(analysis.id, status(analysis))]),
    }
}

fn status(analysis: &NetworkInsightsAnalysis) -> &'static str {
    if analysis.findings.failure.is_some() { "failed" } else { "succeeded" }
}

fn current(cloud: &Cloud<'_>, analysis: &NetworkInsightsAnalysis) -> NetworkInsightsAnalysisItem {
    let done = item(cloud, analysis);
    if cloud.world().is_settled(analysis.id) { done } else { running(done) }
}

/// As it is shown before it is done.
fn running(item: NetworkInsightsAnalysisItem) -> NetworkInsightsAnalysisItem {
    NetworkInsightsAnalysisItem {
        status: "running",
        status_message: None,
        warning_message: None,
        network_path_found: None,
        forward_path_component_set: Vec::new(),
        return_path_component_set: Vec::new(),
        explanation_set: Vec::new(),
        suggested_account_set: Vec::new(),
        ..item
    }
}

fn item(cloud: &Cloud<'_>, analysis: &NetworkInsightsAnalysis) -> NetworkInsightsAnalysisItem {
    let findings = &analysis.findings;
    NetworkInsightsAnalysisItem {
        network_insights_analysis_id: analysis.id,
        network_insights_analysis_arn: cloud.arn(KIND, analysis.id),
        network_insights_path_id: analysis.path,
        additional_account_set: analysis.additional_accounts.clone(),
        filter_in_arn_set: analysis.filter_in.clone(),
        filter_out_arn_set: analysis.filter_out.clone(),
        start_date: analysis.started,
        status: status(analysis),
        status_message: findings.failure.clone(),
        warning_message: findings.warning.clone(),
        network_path_found: findings.path_found,
        forward_path_component_set: findings.forward.clone(),
        return_path_component_set: findings.back.clone(),
        explanation_set: findings.explanations.clone(),
        suggested_account_set: findings.suggested_accounts.clone(),
        tag_set: analysis.tags.clone(),
    }
}
