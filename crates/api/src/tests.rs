//! What a program says, as nodes of a plan.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use thalweg_plan::Plan;
use thalweg_plan::connector::{Connector, Registry, TableSpec};
use thalweg_plan::sink::Sink;
use thalweg_plan::source::{Discovery, Offset, Replay, Source, Split, SplitReader};
use thalweg_types::{Error, Result};

use crate::{Job, Record, Stream, Timestamp, Window, count, sum};

#[derive(Clone, Debug, PartialEq, Record)]
struct Sale {
    shop: String,
    cents: i64,
    at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Total {
    start: Timestamp,
    end: Timestamp,
    shop: String,
    sales: i64,
    cents: Option<i64>,
}

/// A table that can be planned and not read.
#[derive(Debug)]
struct Nothing;

impl Connector for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["connector"]
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        table.options.only(&self.options())
    }

    fn source(&self, table: &TableSpec, _: &[usize]) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Unread(table.schema.clone())))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(Error::invalid(format!("`{}` can only be read", table.name)))
    }
}

#[derive(Debug)]
struct Unread(SchemaRef);

#[async_trait::async_trait]
impl Source for Unread {
    fn connector(&self) -> &str {
        "nothing"
    }

    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        true
    }

    async fn enumerate(&self, _: &[Split]) -> Result<Discovery> {
        Ok(Discovery::default())
    }

    async fn reader(&self, _: &Split, _: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        Err(Error::internal("a test read a table that is only planned"))
    }
}

fn job() -> Job {
    Job::new(Registry::new(vec![Arc::new(Nothing)]))
}

fn sales(job: &Job) -> Stream<'_, Sale> {
    let source = job.source::<Sale>("sales", "nothing", &[]);
    source.watermark(|sale: &Sale| sale.at, Duration::from_secs(5)).stream().unwrap()
}

fn kinds(plan: &Plan) -> Vec<String> {
    plan.nodes.iter().map(|node| node.operator.0.clone()).collect()
}

/// Would fail if a windowed aggregation were another dataflow than that of SQL, or lost its
/// watermark on the way.
#[test]
fn windows_are_aggregated_on_both_sides_of_the_exchange() {
    let job = job();
    let window = Window::hop(Duration::from_secs(2), Duration::from_secs(10));
    let totals = sales(&job)
        .filter(|sale| sale.cents > 0)
        .map(|sale| sale)
        .key_by(|sale: &Sale| sale.shop.clone())
        .window(window, |sale| sale.at)
        .aggregate::<Total>("totals", vec![count(), sum(|sale: &Sale| sale.cents)]);
    let node = totals.unwrap().node;
    let plan = job.plan();
    let expected = [
        "sales/Source-1",
        "/Map-1",
        "totals/PreAggregate-1",
        "totals/WindowAggregate-1",
        "totals/Map-1",
    ];
    assert_eq!(kinds(&plan), expected, "functions in a row are one chain");
    assert_eq!(plan.node(node).schema, Total::schema());
    assert!(!plan.node(node).is_updating);
    assert_eq!(plan.node(node).domains.len(), 1);
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Shop {
    shop: String,
}

/// Would fail if a function behind a shared stream changed what its other readers get.
#[test]
fn a_stream_may_have_several_readers() {
    let job = job();
    let kept = sales(&job).filter(|sale| sale.cents > 0);
    let shops = kept.clone().map(|sale| Shop { shop: sale.shop });
    let dear = kept.filter(|sale| sale.cents > 100);
    let (shops, dear) = (shops.node, dear.node);
    let plan = job.plan();
    assert_eq!(plan.node(shops).schema, Shop::schema());
    assert_eq!(plan.node(dear).schema, Sale::schema());
    assert_eq!(plan.node(shops).inputs[0].from, plan.node(dear).inputs[0].from);
    assert_ne!(shops, dear);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |error: Error| error.to_string();
    let job = job();
    let keyed = || sales(&job).key_by(|sale: &Sale| sale.shop.clone());
    let error = keyed().aggregate::<Total>("totals", vec![count()]).err().unwrap();
    assert_eq!(
        refused(error),
        "step `totals`: the rows are no Total: \
         column 1: `key` (String) is no `start` (Timestamp); \
         column 2: `count` (i64) is no `end` (Timestamp); \
         column 3: there is no column for `shop` (String); \
         column 4: there is no column for `sales` (i64); \
         column 5: there is no column for `cents` (i64)"
    );
    let error = keyed().aggregate::<Total>("t", vec![sum(|sale: &Sale| sale.shop.clone())]);
    assert!(refused(error.err().unwrap()).contains("SUM of Utf8View is not supported"));
    let none = Window::hop(Duration::from_secs(2), Duration::from_secs(5));
    let windowed = keyed().window(none, |sale| sale.at);
    let error = windowed.aggregate::<Total>("t", vec![count()]).err().unwrap();
    assert!(refused(error).contains("there are no windows HOP(2000, 5000)"));
    let error = job.source::<Sale>("sales", "nothin", &[]).stream().err().unwrap();
    assert!(refused(error).contains("unknown connector 'nothin'"));
}

/// Would fail if a watermark at no percentile became one.
#[test]
fn a_percentile_is_a_share_of_the_rows() {
    for (share, is_one) in
        [(0.95, true), (1.0, true), (1.5, false), (-0.5, false), (f64::NAN, false)]
    {
        let job = job();
        let source = job.source::<Sale>("sales", "nothing", &[]);
        let made = source.watermark_at_percentile(|sale| sale.at, share).stream();
        match made {
            Ok(_) => assert!(is_one, "{share}"),
            Err(error) => {
                assert!(!is_one && error.message().starts_with("table `sales`"), "{error:?}");
            }
        }
    }
}
