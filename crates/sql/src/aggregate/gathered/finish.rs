//! What becomes of the values that were gathered.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, ListArray, MapArray, StringViewArray,
    StructArray, UInt32Array, new_empty_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::AggregateFunction as AggregateExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use serde_json::{Map, Value};
use thalweg_plan::aggregate::multisets::TakenRows;
use thalweg_types::{Error, Result};

use crate::functions::json_values;
use crate::text::data_error;
use crate::types;

#[derive(Clone, Debug)]
pub(super) enum Finish {
    /// `LISTAGG`: the texts, with this between them.
    Texts(String),
    /// `ARRAY_AGG`.
    List,
    /// `COLLECT`: each value and how often there is one.
    Counts,
    /// `JSON_OBJECTAGG`.
    Object(Json),
    /// `JSON_ARRAYAGG`.
    Array(Json),
    /// `PERCENTILE` of these shares, one or an array; is the third argument how often there is each?
    Percentile { shares: Vec<f64>, is_array: bool, has_frequency: bool },
    /// What DataFusion computes of all rows.
    Anew(Arc<AggregateFunctionExpr>),
}

/// How values become JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json {
    /// Is a NULL left out?
    is_absent: bool,
    /// Are the values JSON already?
    is_json: bool,
}

impl Json {
    /// Reads `NULL:0`, as a rewritten call says it.
    fn of(argument: Option<&Expr>) -> Json {
        let how = argument.and_then(text).unwrap_or_default();
        Json { is_absent: how.starts_with("ABSENT"), is_json: how.ends_with('1') }
    }

    fn values(self, column: &ArrayRef) -> Result<Vec<Value>> {
        json_values(column, self.is_json).map_err(|error| data_error(error, "a JSON aggregate"))
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
}

/// Reads the shares of a percentile, and whether they are an array; `None` if they are no constants from
/// 0 to 1.
pub(in crate::aggregate) fn shares(expr: &Expr) -> Option<(Vec<f64>, bool)> {
    let Expr::Literal(value, _) = expr else { return None };
    let (values, is_array) = match value {
        ScalarValue::List(list) => (list.value(0), true),
        value => (value.to_array().ok()?, false),
    };
    let values = cast(&values, &DataType::Float64).ok()?;
    let shares: Option<Vec<f64>> = values.as_primitive::<Float64Type>().iter().collect();
    let shares = shares.filter(|shares| shares.iter().all(|share| (0.0..=1.0).contains(share)))?;
    Some((shares, is_array))
}

impl Finish {
    /// Returns what an aggregate does, if it is one that gathers.
    pub(super) fn of(expr: &AggregateExpr) -> Result<Option<Finish>> {
        let arguments = expr.params.args.as_slice();
        Ok(Some(match (expr.func.name(), arguments) {
            ("listagg", [_]) => Finish::Texts(",".to_owned()),
            ("listagg", [_, separator]) => Finish::Texts(text(separator).ok_or_else(|| {
                Error::invalid("the separator of LISTAGG is a constant")
                    .remedy("write LISTAGG(text, ', ')")
            })?),
            ("array_agg", [_]) => Finish::List,
            ("collect", [_]) => Finish::Counts,
            ("json_objectagg", [_, _, how]) => Finish::Object(Json::of(Some(how))),
            ("json_arrayagg", [_, how]) => Finish::Array(Json::of(Some(how))),
            ("percentile", [_, share, rest @ ..]) => {
                let (shares, is_array) = shares(share).ok_or_else(|| {
                    Error::invalid("the share of PERCENTILE is a constant from 0 to 1")
                        .remedy("write PERCENTILE(number, 0.5)")
                })?;
                Finish::Percentile { shares, is_array, has_frequency: !rest.is_empty() }
            }
            _ => return Ok(None),
        }))
    }

    /// Returns how many of the arguments are values, from the first.
    pub(super) fn values(&self) -> usize {
        if matches!(self, Finish::Object(_)) { 2 } else { 1 }
    }

    /// Returns the argument that says how often there is each value, if one does.
    pub(super) fn frequency(&self) -> Option<usize> {
        matches!(self, Finish::Percentile { has_frequency: true, .. }).then_some(2)
    }

    pub(super) fn skips_nulls(&self) -> bool {
        matches!(self, Finish::Texts(_) | Finish::Counts | Finish::Percentile { .. })
    }

    /// Returns the type of the result over values of `kind`.
    pub(super) fn result(&self, kind: &DataType) -> DataType {
        match self {
            Finish::Texts(_) | Finish::Object(_) | Finish::Array(_) => DataType::Utf8View,
            Finish::List => DataType::List(item(kind.clone())),
            Finish::Counts => types::map(kind.clone(), DataType::Int32, false),
            Finish::Percentile { is_array: true, .. } => DataType::List(item(DataType::Float64)),
            Finish::Percentile { .. } => DataType::Float64,
            Finish::Anew(runs) => runs.field().data_type().clone(),
        }
    }

    /// Returns the value of each group.
    pub(super) fn result_of(&self, taken: &TakenRows) -> Result<ArrayRef> {
        let values = &taken.columns[0];
        match self {
            Finish::Texts(separator) => {
                let texts = cast(values, &DataType::Utf8View)?;
                let texts = texts.as_string_view();
                let joined = taken.groups.iter().map(|group| {
                    let rows = repeated(taken, group);
                    let parts: Vec<&str> = rows.map(|row| texts.value(row)).collect();
                    (!parts.is_empty()).then(|| parts.join(separator))
                });
                Ok(Arc::new(joined.collect::<StringViewArray>()))
            }
            Finish::List => list(values, taken),
            Finish::Counts => counts(values, taken),
            Finish::Object(json) => objects(&json.values(values)?, taken, *json),
            Finish::Array(json) => {
                let values = json.values(values)?;
                let arrays = taken.groups.iter().map(|group| {
                    let rows = repeated(taken, group).map(|row| values[row].clone());
                    let rows = rows.filter(|value| !(json.is_absent && value.is_null()));
                    Some(Value::Array(rows.collect()).to_string())
                });
                Ok(Arc::new(arrays.collect::<StringViewArray>()))
            }
            Finish::Percentile { shares, is_array, .. } => {
                percentiles(values, taken, (shares, *is_array))
            }
            Finish::Anew(runs) => anew(runs, taken),
        }
    }
}

/// Returns each row of a group as often as there is one.
fn repeated(taken: &TakenRows, group: &Range<usize>) -> impl Iterator<Item = usize> {
    group.clone().flat_map(|row| (0..taken.counts[row]).map(move |_| row))
}

fn item(kind: DataType) -> FieldRef {
    Arc::new(Field::new("item", kind, true))
}

/// Returns what DataFusion computes of the rows of each group.
fn anew(runs: &AggregateFunctionExpr, taken: &TakenRows) -> Result<ArrayRef> {
    let value = |group: &Range<usize>| {
        let places: UInt32Array = repeated(taken, group).map(|row| row as u32).collect();
        let columns = taken.columns.iter().map(|column| take(column, &places, None));
        let mut accumulator = runs.create_accumulator()?;
        accumulator.update_batch(&columns.collect::<Result<Vec<_>, _>>()?)?;
        accumulator.evaluate()
    };
    let values = taken.groups.iter().map(value).collect::<Result<Vec<ScalarValue>, _>>();
    let values = values.and_then(|values| match values.is_empty() {
        true => Ok(new_empty_array(runs.field().data_type())),
        false => ScalarValue::iter_to_array(values),
    });
    values.map_err(|error| data_error(error, runs.name()))
}

/// Returns a list for each group, NULL for one without rows.
fn list(values: &ArrayRef, taken: &TakenRows) -> Result<ArrayRef> {
    let mut places = Vec::new();
    let mut lengths = Vec::with_capacity(taken.groups.len());
    for group in &taken.groups {
        let before = places.len();
        for row in repeated(taken, group) {
            places.push(u32::try_from(row).map_err(|_| Error::data("ARRAY_AGG of too many rows"))?);
        }
        lengths.push(places.len() - before);
    }
    let nulls = NullBuffer::from_iter(lengths.iter().map(|length| *length > 0));
    let values = take(values, &UInt32Array::from(places), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let item = item(values.data_type().clone());
    Ok(Arc::new(ListArray::try_new(item, offsets, values, Some(nulls))?))
}

/// Returns how often there is each value.
fn counts(values: &ArrayRef, taken: &TakenRows) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = types::map(values.data_type().clone(), DataType::Int32, false)
    else {
        return Err(Error::internal("a map that is none"));
    };
    let DataType::Struct(sides) = entries.data_type() else {
        return Err(Error::internal("a map without entries"));
    };
    let counts = taken.counts.iter().map(|count| i32::try_from(*count).unwrap_or(i32::MAX));
    let counts: ArrayRef = Arc::new(Int32Array::from_iter_values(counts));
    let pairs = StructArray::try_new(sides.clone(), vec![values.clone(), counts], None)?;
    let offsets = OffsetBuffer::from_lengths(taken.groups.iter().map(ExactSizeIterator::len));
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, None, false)?))
}

/// Returns an object for each group; of two values of one key, the greater one stays.
fn objects(keys: &[Value], taken: &TakenRows, json: Json) -> Result<ArrayRef> {
    let values = json.values(&taken.columns[1])?;
    let objects = taken.groups.iter().map(|group| {
        let mut members = Map::new();
        for row in group.clone().filter(|row| taken.counts[*row] > 0) {
            let Value::String(key) = &keys[row] else {
                return Err(Error::data("a key of JSON_OBJECTAGG must not be NULL"));
            };
            if !(json.is_absent && values[row].is_null()) {
                members.insert(key.clone(), values[row].clone());
            }
        }
        Ok(Some(Value::Object(members).to_string()))
    });
    Ok(Arc::new(objects.collect::<Result<StringViewArray>>()?))
}

/// Returns the values at some shares of the way from the least to the greatest, or between two.
fn percentiles(
    values: &ArrayRef,
    taken: &TakenRows,
    (shares, is_array): (&[f64], bool),
) -> Result<ArrayRef> {
    let numbers = cast(values, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>().values();
    let mut found = Vec::with_capacity(taken.groups.len() * shares.len());
    for group in &taken.groups {
        let total: i64 = taken.counts[group.clone()].iter().sum();
        let at = |place: f64| {
            let mut left = place as i64;
            let row = group.clone().find(|row| {
                left -= taken.counts[*row];
                left < 0
            });
            row.map(|row| numbers[row])
        };
        for share in shares.iter().filter(|_| total > 0 || !is_array) {
            let place = share * (total - 1) as f64;
            let (low, high) = (at(place.floor()), at(place.ceil()));
            found.push(low.zip(high).filter(|_| total > 0).map(|(low, high)| {
                if low == high { low } else { low + (high - low) * place.fract() }
            }));
        }
    }
    let found = Float64Array::from(found);
    if !is_array {
        return Ok(Arc::new(found));
    }
    let is_there = |group: &Range<usize>| taken.counts[group.clone()].iter().sum::<i64>() > 0;
    let there: Vec<bool> = taken.groups.iter().map(is_there).collect();
    let lengths = there.iter().map(|there| if *there { shares.len() } else { 0 });
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = Some(NullBuffer::from(there));
    Ok(Arc::new(ListArray::try_new(item(DataType::Float64), offsets, Arc::new(found), nulls)?))
}
