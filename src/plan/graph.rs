//! Which packages of a plan need which others, and that none needs itself.

use super::{Candidate, PlanError};
use std::collections::BTreeMap;

/// For each candidate, the tags of the other candidates that its Dockerfile reads from; an error when they form a circle.
pub(super) fn needs(candidates: &[Candidate<'_>]) -> Result<Vec<Vec<String>>, PlanError> {
    let by_name: BTreeMap<String, usize> = candidates
        .iter()
        .enumerate()
        .map(|(at, one)| (one.identity.reference.store_name(), at))
        .collect();
    let edges: Vec<Vec<usize>> = candidates
        .iter()
        .enumerate()
        .map(|(at, one)| {
            one.images
                .iter()
                .filter_map(|name| by_name.get(name).copied())
                .filter(|to| *to != at)
                .collect()
        })
        .collect();
    if let Some(circle) = circle(&edges) {
        return Err(PlanError::Cycle(
            circle
                .into_iter()
                .map(|at| candidates[at].identity.tag.clone())
                .collect(),
        ));
    }
    let tag = |at: &usize| candidates[*at].identity.tag.clone();
    Ok(edges.iter().map(|to| to.iter().map(tag).collect()).collect())
}

/// A way that leads back to where it starts (first and last are the same), if there is one.
fn circle(edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut is_done = vec![false; edges.len()];
    let mut path = Vec::new();
    (0..edges.len()).find_map(|start| visit(start, edges, &mut is_done, &mut path))
}

fn visit(at: usize, edges: &[Vec<usize>], is_done: &mut [bool], path: &mut Vec<usize>) -> Option<Vec<usize>> {
    if let Some(begin) = path.iter().position(|one| *one == at) {
        let mut circle = path[begin..].to_vec();
        circle.push(at);
        return Some(circle);
    }
    if is_done[at] {
        return None;
    }
    path.push(at);
    let found = edges[at].iter().find_map(|to| visit(*to, edges, is_done, path));
    path.pop();
    is_done[at] = true;
    found
}
