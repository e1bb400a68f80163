//! Analyses of access scopes: findings of one moment, kept until they are deleted or 120 days old.

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::access_scope::*;
use ec2::{Error, Operation};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Query, passes};
use crate::insights::access_scope::find;
use crate::timing::Wait;

const KIND: &str = "network-insights-access-scope-analysis";

impl Handle for StartNetworkInsightsAccessScopeAnalysis {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<StartNetworkInsightsAccessScopeAnalysisResponse, Error> {
        let token = Some(self.client_token.as_str());
        if let Some(earlier) = cloud.replay::<AccessScopeAnalysisId>(Self::NAME, token)? {
            let analysis = cloud.owned::<NetworkInsightsAccessScopeAnalysis>(earlier)?;
            return Ok(started(cloud, &analysis));
        }
        let tags = TagSpecification::tags(&self.tag_specifications, &[KIND], KIND)?;
        let scope = cloud.owned::<NetworkInsightsAccessScope>(self.network_insights_access_scope_id)?;
        let max = cloud.config.quotas.network_insights_access_scope_analyses;
        if cloud.own_count::<NetworkInsightsAccessScopeAnalysis>() >= max {
            let message = format!(
                "You have reached the limit of {max} network insights access scope analyses in this region; delete some first"
            );
            return Err(Error::new("NetworkInsightsAccessScopeAnalysis.LimitExceeded", message));
        }
        let found = find(cloud, &scope);
        let analysis = NetworkInsightsAccessScopeAnalysis {
            id: cloud.draw.id(),
            owner: cloud.caller.account,
            scope: scope.id,
            started: cloud.now,
            ended: cloud.held(Wait::Analysis).unwrap_or(cloud.now),
            found,
            tags,
        };
        cloud.remember(Self::NAME, token, analysis.id);
        cloud.put(analysis.clone());
        cloud.takes_time(analysis.id, Phase::Running, Wait::Analysis);
        Ok(started(cloud, &analysis))
    }
}

/// The findings are there already; clients wait for the next state all the same, as on AWS.
fn started(
    cloud: &Cloud<'_>,
    analysis: &NetworkInsightsAccessScopeAnalysis,
) -> StartNetworkInsightsAccessScopeAnalysisResponse {
    let network_insights_access_scope_analysis = running(item(cloud, analysis));
    StartNetworkInsightsAccessScopeAnalysisResponse { network_insights_access_scope_analysis }
}

impl Handle for DeleteNetworkInsightsAccessScopeAnalysis {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteNetworkInsightsAccessScopeAnalysisResponse, Error> {
        let id = self.network_insights_access_scope_analysis_id;
        let id = cloud.owned::<NetworkInsightsAccessScopeAnalysis>(id)?.id;
        cloud.delete::<NetworkInsightsAccessScopeAnalysis>(id);
        Ok(DeleteNetworkInsightsAccessScopeAnalysisResponse { network_insights_access_scope_analysis_id: id })
    }
}

impl Handle for DescribeNetworkInsightsAccessScopeAnalyses {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNetworkInsightsAccessScopeAnalysesResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let ids = &self.network_insights_access_scope_analysis_ids;
        // AWS has no filters but those of tags.
        Query { ids, filters: &self.filters, page }.check(&[])?;
        page.check::<AccessScopeAnalysisId>()?;
        ids.iter().try_for_each(|id| cloud.owned::<NetworkInsightsAccessScopeAnalysis>(*id).map(drop))?;
        if let Some(scope) = self.network_insights_access_scope_id {
            cloud.owned::<NetworkInsightsAccessScope>(scope)?;
        }
        let wanted = cloud.own::<NetworkInsightsAccessScopeAnalysis>().filter(|analysis| {
            (ids.is_empty() || ids.contains(&analysis.id))
                && self.network_insights_access_scope_id.is_none_or(|scope| scope == analysis.scope)
                && self.analysis_start_time_begin.is_none_or(|begin| analysis.started >= begin)
                && self.analysis_start_time_end.is_none_or(|end| analysis.started <= end)
                && passes(&self.filters, &analysis.tags, |_| Vec::new())
        });
        let (page, next_token) = page.cut(1..=100, wanted, |analysis| analysis.id.to_string())?;
        let network_insights_access_scope_analyses = page.iter().map(|analysis| current(cloud, analysis)).collect();
        Ok(DescribeNetworkInsightsAccessScopeAnalysesResponse { network_insights_access_scope_analyses, next_token })
    }
}

impl Handle for GetNetworkInsightsAccessScopeAnalysisFindings {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetNetworkInsightsAccessScopeAnalysisFindingsResponse, Error> {
        let id = self.network_insights_access_scope_analysis_id;
        let analysis = cloud.owned::<NetworkInsightsAccessScopeAnalysis>(id)?;
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        page.check_within(&key(id, None))?;
        let is_done = cloud.world().is_settled(id);
        let findings = analysis.found.findings.iter().zip(1_usize..).filter(|_| is_done);
        let (findings, next_token) = page.cut(1..=1000, findings, |(_, number)| key(id, Some(*number)))?;
        let shown = |(components, number): (&Vec<_>, usize)| AccessScopeFindingItem {
            network_insights_access_scope_analysis_id: id,
            network_insights_access_scope_id: analysis.scope,
            finding_id: format!("AnalysisFinding-{number}"),
            finding_components: components.clone(),
        };
        Ok(GetNetworkInsightsAccessScopeAnalysisFindingsResponse {
            network_insights_access_scope_analysis_id: id,
            analysis_status: current(cloud, &analysis).status,
            analysis_findings: findings.into_iter().map(shown).collect(),
            next_token,
        })
    }
}

/// Where a finding stands in the list of its analysis: a text in the order of the numbers.
fn key(id: AccessScopeAnalysisId, number: Option<usize>) -> String {
    format!("{id}/{}", number.map_or_else(String::new, |number| format!("{number:08}")))
}

fn current(cloud: &Cloud<'_>, analysis: &NetworkInsightsAccessScopeAnalysis) -> AccessScopeAnalysisItem {
    let done = item(cloud, analysis);
    if cloud.world().is_settled(analysis.id) { done } else { running(done) }
}

/// As it is shown before it is done.
fn running(item: AccessScopeAnalysisItem) -> AccessScopeAnalysisItem {
    AccessScopeAnalysisItem {
        status: "running",
        status_message: None,
        warning_message: None,
        end_date: None,
        findings_found: None,
        analyzed_eni_count: 0,
        ..item
    }
}

fn item(cloud: &Cloud<'_>, analysis: &NetworkInsightsAccessScopeAnalysis) -> AccessScopeAnalysisItem {
    let found = &analysis.found;
    AccessScopeAnalysisItem {
        network_insights_access_scope_analysis_id: analysis.id,
        network_insights_access_scope_analysis_arn: cloud.arn(KIND, analysis.id),
        network_insights_access_scope_id: analysis.scope,
        status: if found.failure.is_some() { "failed" } else { "succeeded" },
        status_message: found.failure.clone(),
        warning_message: found.warning.clone(),
        start_date: analysis.started,
        end_date: Some(analysis.ended),
        findings_found: Some(found.is_found()),
        analyzed_eni_count: found.interfaces,
        tag_set: analysis.tags.clone(),
    }
}
