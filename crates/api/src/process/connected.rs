//! Two streams that are handed to one function.

use std::marker::PhantomData;

use thalweg_plan::{Exchange, Input};
use thalweg_types::Result;

use super::definition::Definition;
use super::function::{Beside, BroadcastProcess, CoProcess, Double};
use super::setup::Setup;
use super::step::{StepInput, add};
use crate::keyed::Keyed;
use crate::record::Record;
use crate::stream::Stream;
use crate::value::Key;

/// Two keyed streams side by side; see [`Keyed::connect`].
pub struct Connected<'j, A, B, K> {
    left: Keyed<'j, A, K>,
    right: Keyed<'j, B, K>,
}

/// A keyed stream beside one that every worker gets; see [`Keyed::broadcast`].
pub struct WithBroadcast<'j, T, B, K> {
    keyed: Keyed<'j, T, K>,
    other: Stream<'j, B>,
}

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Puts a second keyed stream beside this one: both are handed to one function, which has one
    /// state for each key.
    pub fn connect<B: Record>(self, other: Keyed<'j, B, K>) -> Connected<'j, T, B, K> {
        Connected { left: self, right: other }
    }

    /// Puts a stream beside this one of which every worker gets every row: rules, rates, what is small
    /// and all keys need.
    pub fn broadcast<B: Record>(self, other: Stream<'j, B>) -> WithBroadcast<'j, T, B, K> {
        WithBroadcast { keyed: self, other }
    }
}

impl<'j, A: Record, B: Record, K: Key> Connected<'j, A, B, K> {
    /// Applies a function to the rows of both streams; see [`Keyed::process`].
    ///
    /// This one adds what is known of a user to each of the user's visits, and keeps visits that come
    /// first until it is:
    ///
    /// ```
    /// # extern crate thalweg_api as thalweg;
    /// use serde::{Deserialize, Serialize};
    /// use thalweg::{CoProcess, Context, Keyed, ListState, Record, Result, Stream, ValueState};
    ///
    /// #[derive(Clone, Record, Serialize, Deserialize)]
    /// struct Visit { user: i64, page: String }
    ///
    /// #[derive(Clone, Record)]
    /// struct User { id: i64, country: String }
    ///
    /// #[derive(Clone, Record)]
    /// struct Located { page: String, country: String }
    ///
    /// struct Locate { country: ValueState<String>, early: ListState<Visit> }
    ///
    /// impl CoProcess<i64, Visit, User, Located> for Locate {
    ///     fn left(&self, visit: Visit, context: &mut Context<'_, i64, Located>) -> Result<()> {
    ///         match self.country.get(context).cloned() {
    ///             Some(country) => context.send(Located { page: visit.page, country }),
    ///             None => self.early.push(context, visit),
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn right(&self, user: User, context: &mut Context<'_, i64, Located>) -> Result<()> {
    ///         for visit in self.early.take(context) {
    ///             context.send(Located { page: visit.page, country: user.country.clone() });
    ///         }
    ///         self.country.set(context, user.country);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn located<'j>(
    ///     visits: Keyed<'j, Visit, i64>,
    ///     users: Keyed<'j, User, i64>,
    /// ) -> Result<Stream<'j, Located>> {
    ///     visits.connect(users).process("locate", |setup| Locate {
    ///         country: setup.value("country"),
    ///         early: setup.list("early"),
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Keyed::process`].
    pub fn process<U: Record, P: CoProcess<K, A, B, U>>(
        self,
        name: &str,
        make: impl FnOnce(&mut Setup) -> P,
    ) -> Result<Stream<'j, U>> {
        let job = self.left.stream.job;
        job.builder.borrow_mut().statement(name);
        let inputs = vec![self.left.by_key(name), self.right.by_key(name)];
        let mut setup = Setup::default();
        let body = Box::new(Double(make(&mut setup), PhantomData));
        add(job, inputs, Definition { name: name.to_owned(), setup, body })
    }
}

impl<'j, T: Record, B: Record, K: Key> WithBroadcast<'j, T, B, K> {
    /// Applies a function to the rows of keys, and to those that every worker gets; see
    /// [`Keyed::process`].
    ///
    /// This one adds names to numbers:
    ///
    /// ```
    /// # extern crate thalweg_api as thalweg;
    /// use thalweg::{
    ///     BroadcastContext, BroadcastProcess, BroadcastState, Context, Keyed, Record, Result, Stream,
    /// };
    ///
    /// #[derive(Clone, Record)]
    /// struct Sale { shop: i64, currency: String, amount: f64 }
    ///
    /// #[derive(Clone, Record)]
    /// struct Rate { currency: String, euros: f64 }
    ///
    /// #[derive(Clone, Record)]
    /// struct Turnover { shop: i64, euros: f64 }
    ///
    /// struct Convert { rates: BroadcastState<String, f64> }
    ///
    /// impl BroadcastProcess<i64, Sale, Rate, Turnover> for Convert {
    ///     fn row(&self, sale: Sale, context: &mut Context<'_, i64, Turnover>) -> Result<()> {
    ///         let rate = self.rates.get(context, &sale.currency).copied().unwrap_or(1.0);
    ///         context.send(Turnover { shop: sale.shop, euros: sale.amount * rate });
    ///         Ok(())
    ///     }
    ///
    ///     fn broadcast(&self, rate: Rate, context: &mut BroadcastContext<'_>) -> Result<()> {
    ///         self.rates.insert(context, rate.currency, rate.euros);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn turnover<'j>(
    ///     sales: Keyed<'j, Sale, i64>,
    ///     rates: Stream<'j, Rate>,
    /// ) -> Result<Stream<'j, Turnover>> {
    ///     sales.broadcast(rates).process("turnover", |setup| Convert { rates: setup.broadcast("rates") })
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Keyed::process`].
    pub fn process<U: Record, P: BroadcastProcess<K, T, B, U>>(
        self,
        name: &str,
        make: impl FnOnce(&mut Setup) -> P,
    ) -> Result<Stream<'j, U>> {
        let job = self.keyed.stream.job;
        job.builder.borrow_mut().statement(name);
        let from = self.other.node;
        let every = Input { from, port: 0, exchange: Exchange::Broadcast };
        let every = StepInput { input: every, keys: Vec::new() };
        let inputs = vec![self.keyed.by_key(name), every];
        let mut setup = Setup::default();
        let body = Box::new(Beside(make(&mut setup), PhantomData));
        add(job, inputs, Definition { name: name.to_owned(), setup, body })
    }
}
