//! What a query costs, and whether GitHub takes it at all.
//!
//! The cost is the number of connections that must be read, each page taken as full, divided by 100. A connection inside
//! of 50 nodes counts 50 times.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast;
use apollo_compiler::executable::{Field, Operation, Selection, SelectionSet};
use apollo_compiler::response::{JsonMap, JsonValue};
use serde_json::{Value, json};

/// How many nodes a connection gives at most, and how many ids `nodes` takes.
const PAGE_MAX: u64 = 100;

/// How many nodes a query may ask for.
const NODES_MAX: u64 = 500_000;

/// What a query asks for, counted.
#[derive(Debug, Default)]
pub(super) struct Cost {
    requests: u64,
    pub(super) nodes: u64,
    /// The number of ids, or the page size of the outermost connections.
    pub(super) size: usize,
    /// Why GitHub would refuse the query, in the form of its errors.
    pub(super) problems: Vec<Value>,
}

impl Cost {
    /// Counts an operation.
    pub(super) fn of(document: &ExecutableDocument, operation: &Operation, variables: &JsonMap) -> Self {
        let mut counter = Counter { document, variables, cost: Self::default(), path: Vec::new() };
        counter.walk(&operation.selection_set, 1, true);
        let mut cost = counter.cost;
        if cost.nodes > NODES_MAX {
            let message = format!(
                "This query requests up to {} possible nodes which exceeds the maximum limit of 500,000.",
                cost.nodes
            );
            cost.problems.push(json!({"type": "MAX_NODE_LIMIT_EXCEEDED", "message": message}));
        }
        cost
    }

    /// Returns the points that are charged.
    pub(super) fn points(&self) -> u32 {
        u32::try_from((self.requests + 50) / 100).unwrap_or(u32::MAX).max(1)
    }
}

/// The walk through a query.
struct Counter<'a> {
    document: &'a ExecutableDocument,
    variables: &'a JsonMap,
    cost: Cost,
    path: Vec<String>,
}

impl Counter<'_> {
    /// Counts a selection that is evaluated `times` times.
    fn walk(&mut self, set: &SelectionSet, times: u64, is_outermost: bool) {
        for selection in &set.selections {
            match selection {
                Selection::Field(field) => {
                    self.path.push(field.response_key().to_string());
                    self.field(field, times, is_outermost);
                    self.path.pop();
                }
                Selection::InlineFragment(fragment) => self.walk(&fragment.selection_set, times, is_outermost),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.fragment_name) {
                        self.walk(&fragment.selection_set, times, is_outermost);
                    }
                }
            }
        }
    }

    fn field(&mut self, field: &Field, times: u64, is_outermost: bool) {
        if field.ty().is_list()
            && let Some(ids) = self.length(field, "ids")
        {
            if ids > PAGE_MAX {
                let message = format!("You may not provide more than 100 node ids; you provided {ids}.");
                self.refuse(field, "ARGUMENT_LIMIT", &message);
            }
            self.outermost(is_outermost, ids);
            return self.walk(&field.selection_set, times * ids, false);
        }
        if !field.ty().inner_named_type().ends_with("Connection") {
            return self.walk(&field.selection_set, times, is_outermost);
        }
        let (first, last) = (self.number(field, "first"), self.number(field, "last"));
        let bound = first.map(|size| ("first", size)).or(last.map(|size| ("last", size)));
        let lists = field.selection_set.fields().any(|inner| inner.name == "nodes" || inner.name == "edges");
        let size = match bound {
            Some((bound, size)) if size > PAGE_MAX => {
                let message = format!(
                    "Requesting {size} records on the `{}` connection exceeds the `{bound}` limit of 100 records.",
                    field.name
                );
                self.refuse(field, "EXCESSIVE_PAGINATION", &message);
                size
            }
            None if lists => {
                let message = format!(
                    "You must provide a `first` or `last` value to properly paginate the `{}` connection.",
                    field.name
                );
                self.refuse(field, "MISSING_PAGINATION_BOUNDARIES", &message);
                0
            }
            Some((_, size)) => size,
            None => 0,
        };
        self.cost.requests += times;
        self.cost.nodes += times * size;
        self.outermost(is_outermost, size);
        self.walk(&field.selection_set, times * size, false);
    }

    fn outermost(&mut self, is_outermost: bool, size: u64) {
        if is_outermost {
            self.cost.size = self.cost.size.max(usize::try_from(size).unwrap_or(usize::MAX));
        }
    }

    /// Notes why GitHub would refuse the query.
    fn refuse(&mut self, field: &Field, kind: &str, message: &str) {
        let start = field.name.line_column_range(&self.document.sources).map(|range| range.start);
        let mut problem = json!({"type": kind, "path": self.path, "message": message});
        if let Some(start) = start {
            problem["locations"] = json!([start]);
        }
        self.cost.problems.push(problem);
    }

    /// Returns a number that is given as an argument or as a variable.
    fn number(&self, field: &Field, argument: &str) -> Option<u64> {
        match &**field.specified_argument_by_name(argument)? {
            ast::Value::Int(number) => number.try_to_i32().ok().and_then(|number| u64::try_from(number).ok()),
            ast::Value::Variable(name) => self.variables.get(name.as_str()).and_then(JsonValue::as_u64),
            _ => None,
        }
    }

    /// Returns how long a list is that is given likewise.
    fn length(&self, field: &Field, argument: &str) -> Option<u64> {
        match &**field.specified_argument_by_name(argument)? {
            ast::Value::List(list) => Some(list.len() as u64),
            ast::Value::Variable(name) => {
                self.variables.get(name.as_str()).and_then(JsonValue::as_array).map(|list| list.len() as u64)
            }
            _ => Some(1), // one value stands for a list of it
        }
    }
}
