//! Aggregates of Flink's as planning sees them: their names, what they take and what they give.
//!
//! They are run by [`crate::aggregate`], some as aggregates of DataFusion's, which [`runs`] names.
//!
//! | aggregate | gives |
//! |---|---|
//! | `LISTAGG(text[, separator])` | STRING |
//! | `ARRAY_AGG(a)` | ARRAY of what it takes |
//! | `COLLECT(a)` | how often there is what: MAP from it to INT, since there is no MULTISET |
//! | `JSON_OBJECTAGG`, `JSON_ARRAYAGG` | STRING |
//! | `PERCENTILE(a, p[, frequency])` | DOUBLE, or `ARRAY<DOUBLE>` for an array of shares |
//! | `APPROX_COUNT_DISTINCT(a)` | BIGINT |
//! | `APPROX_PERCENTILE(a, p)` | as `PERCENTILE` |
//! | `APPROX_TOP_K(a, k)` | `ARRAY<ROW<value, count>>` |
//! | `APPROX_F2(a)` | DOUBLE |
//! | `STDDEV_POP`, `VAR_SAMP` … | what they take, of DECIMAL(p, s) DECIMAL(38, max(6, s)) |

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::error::Result;
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use thalweg_plan::sketch::frequent;
use thalweg_types::Error;

use crate::casting::is_text;
use crate::text::wrap;
use crate::types;

/// Returns all aggregates of this module.
pub(crate) fn all() -> Vec<AggregateUDF> {
    let planned = |name, aliases: &[&str], usage, returns| {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        let signature = Signature::user_defined(Volatility::Immutable);
        AggregateUDF::from(Planned { name, aliases, usage, returns, signature })
    };
    vec![
        planned("listagg", &[], "LISTAGG(text[, separator])", listagg),
        planned("array_agg", &[], "ARRAY_AGG(value)", array_agg),
        planned("collect", &[], "COLLECT(value)", collect),
        planned("json_objectagg", &[], "JSON_OBJECTAGG(KEY text VALUE value)", json),
        planned("json_arrayagg", &[], "JSON_ARRAYAGG(value)", json),
        planned("percentile", &[], "PERCENTILE(number, share[, frequency])", percentile),
        planned("approx_count_distinct", &[], "APPROX_COUNT_DISTINCT(value)", count),
        planned("approx_percentile", &[], "APPROX_PERCENTILE(number, share)", approx_percentile),
        planned("approx_top_k", &[], "APPROX_TOP_K(value, k)", approx_top_k),
        planned("approx_f2", &[], "APPROX_F2(value)", approx_f2),
        planned("stddev_samp", &["stddev"], "STDDEV_SAMP(number)", spread),
        planned("stddev_pop", &[], "STDDEV_POP(number)", spread),
        planned("var_samp", &["variance", "var"], "VAR_SAMP(number)", spread),
        planned("var_pop", &[], "VAR_POP(number)", spread),
    ]
}

/// Returns the aggregate of DataFusion's that runs one of this module, and the type that its argument
/// must have there.
pub(crate) fn runs(
    function: &AggregateUDF,
    argument: &DataType,
) -> Option<(Arc<AggregateUDF>, DataType)> {
    function.inner().downcast_ref::<Planned>()?;
    let spread = (!argument.is_integer()).then_some(DataType::Float64);
    match function.name() {
        "stddev_samp" => Some((stddev_udaf(), spread?)),
        "stddev_pop" => Some((stddev_pop_udaf(), spread?)),
        "var_samp" => Some((var_samp_udaf(), spread?)),
        "var_pop" => Some((var_pop_udaf(), spread?)),
        _ => None,
    }
}

/// Returns the type of a result; `None` if the aggregate does not take these.
type Returns = fn(&[DataType]) -> Option<DataType>;

fn listagg(kinds: &[DataType]) -> Option<DataType> {
    let takes = (1..=2).contains(&kinds.len()) && kinds.iter().all(is_text);
    takes.then_some(DataType::Utf8View)
}

fn array_agg(kinds: &[DataType]) -> Option<DataType> {
    let [kind] = kinds else { return None };
    Some(DataType::List(Arc::new(Field::new("item", kind.clone(), true))))
}

fn collect(kinds: &[DataType]) -> Option<DataType> {
    let [kind] = kinds else { return None };
    Some(types::map(kind.clone(), DataType::Int32, false))
}

fn json(kinds: &[DataType]) -> Option<DataType> {
    let takes = matches!(kinds, [_, how] if is_text(how))
        || matches!(kinds, [key, _, how] if is_text(key) && is_text(how));
    takes.then_some(DataType::Utf8View)
}

fn percentile(kinds: &[DataType]) -> Option<DataType> {
    let takes = |kinds: &[&DataType]| kinds.iter().all(|kind| kind.is_numeric());
    match kinds {
        [value, DataType::List(share), frequency @ ..] if frequency.len() <= 1 => {
            let kinds: Vec<_> = [value, share.data_type()].into_iter().chain(frequency).collect();
            let item = Field::new("item", DataType::Float64, true);
            takes(&kinds).then(|| DataType::List(Arc::new(item)))
        }
        [value, share, frequency @ ..] if frequency.len() <= 1 => {
            let kinds: Vec<_> = [value, share].into_iter().chain(frequency).collect();
            takes(&kinds).then_some(DataType::Float64)
        }
        _ => None,
    }
}

fn count(kinds: &[DataType]) -> Option<DataType> {
    matches!(kinds, [_]).then_some(DataType::Int64)
}

fn approx_percentile(kinds: &[DataType]) -> Option<DataType> {
    if kinds.len() == 2 { percentile(kinds) } else { None }
}

fn approx_top_k(kinds: &[DataType]) -> Option<DataType> {
    let [value, k] = kinds else { return None };
    k.is_integer().then(|| frequent::type_of(value))
}

fn approx_f2(kinds: &[DataType]) -> Option<DataType> {
    matches!(kinds, [_]).then_some(DataType::Float64)
}

fn spread(kinds: &[DataType]) -> Option<DataType> {
    match kinds {
        [DataType::Decimal128(_, scale)] => Some(DataType::Decimal128(38, (*scale).max(6))),
        [kind] if kind.is_numeric() => Some(kind.clone()),
        _ => None,
    }
}

/// One aggregate.
#[derive(Debug)]
struct Planned {
    name: &'static str,
    aliases: Vec<String>,
    /// How to write it, for errors.
    usage: &'static str,
    returns: Returns,
    signature: Signature,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        self.name == other.name
    }
}

impl Eq for Planned {}

impl std::hash::Hash for Planned {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Planned {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        self.return_type(kinds)?;
        let mut kinds = kinds.to_vec();
        let has_share = matches!(self.name, "percentile" | "approx_percentile");
        if let (true, [_, share, frequency @ ..]) = (has_share, &mut kinds[..]) {
            *share = match share {
                DataType::List(_) => {
                    DataType::List(Arc::new(Field::new("item", DataType::Float64, true)))
                }
                _ => DataType::Float64,
            };
            frequency.iter_mut().for_each(|kind| *kind = DataType::Int64);
        }
        Ok(kinds)
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        (self.returns)(kinds).ok_or_else(|| {
            let kinds = kinds.iter().map(types::name).collect::<Vec<_>>().join(", ");
            let name = self.name.to_ascii_uppercase();
            let error = Error::invalid(format!("{name} does not take ({kinds})"));
            wrap(error.remedy(format!("write {}", self.usage)))
        })
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Err(wrap(Error::internal("a planned aggregate was run")))
    }
}
