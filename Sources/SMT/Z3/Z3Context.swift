import CZ3
import Foundation
import Limits
import Rigor
import Synchronization

/// The answer of a solver.
enum Satisfiability: Sendable {
  case satisfiable
  case unsatisfiable
  /// The budget ran out or the solver gave up; the reason as Z3 states it.
  case unknown(String)
}

/// One Z3 context with everything made in it; belongs to one thread.
///
/// All terms live as long as the context (Z3 keeps them then), so a context is made for one query and dropped
/// afterwards. Only ``interrupt()`` may be called from another thread.
final class Z3Context {
  let raw: Z3_context
  private var solver: Z3_solver?
  private let realSort: Z3_sort

  /// A term of the context.
  struct Term {
    let raw: Z3_ast
  }

  init() {
    let config = Z3_mk_config()
    raw = Z3_mk_context(config)
    Z3_del_config(config)
    Z3_set_error_handler(raw, nil)
    realSort = Z3_mk_real_sort(raw)
  }

  deinit {
    if let solver { Z3_solver_dec_ref(raw, solver) }
    Z3_del_context(raw)
  }

  // MARK: Terms

  func real(_ name: String) -> Term {
    Term(raw: Z3_mk_const(raw, Z3_mk_string_symbol(raw, name), realSort))
  }

  func boolean(_ name: String) -> Term {
    Term(raw: Z3_mk_const(raw, Z3_mk_string_symbol(raw, name), Z3_mk_bool_sort(raw)))
  }

  func numeral(_ value: Rational) -> Term {
    Term(raw: Z3_mk_numeral(raw, value.description, realSort))
  }

  func sum(_ terms: [Term]) -> Term {
    if terms.isEmpty { return numeral(0) }
    if terms.count == 1 { return terms[0] }
    var asts: [Z3_ast?] = terms.map(\.raw)
    return Term(raw: Z3_mk_add(raw, UInt32(asts.count), &asts))
  }

  func product(_ a: Term, _ b: Term) -> Term {
    var asts: [Z3_ast?] = [a.raw, b.raw]
    return Term(raw: Z3_mk_mul(raw, 2, &asts))
  }

  func lessOrEqual(_ a: Term, _ b: Term) -> Term { Term(raw: Z3_mk_le(raw, a.raw, b.raw)) }
  func less(_ a: Term, _ b: Term) -> Term { Term(raw: Z3_mk_lt(raw, a.raw, b.raw)) }
  func equal(_ a: Term, _ b: Term) -> Term { Term(raw: Z3_mk_eq(raw, a.raw, b.raw)) }
  func not(_ a: Term) -> Term { Term(raw: Z3_mk_not(raw, a.raw)) }

  func and(_ terms: [Term]) -> Term {
    var asts: [Z3_ast?] = terms.map(\.raw)
    return Term(raw: Z3_mk_and(raw, UInt32(asts.count), &asts))
  }

  func or(_ terms: [Term]) -> Term {
    var asts: [Z3_ast?] = terms.map(\.raw)
    return Term(raw: Z3_mk_or(raw, UInt32(asts.count), &asts))
  }

  // MARK: Solving

  private func theSolver() -> Z3_solver? {
    if let solver { return solver }
    let made = Z3_mk_solver_for_logic(raw, Z3_mk_string_symbol(raw, "QF_LRA"))
    Z3_solver_inc_ref(raw, made)
    solver = made
    limit(resources: 0, milliseconds: nil)
    return made
  }

  func assert(_ term: Term) {
    Z3_solver_assert(raw, theSolver(), term.raw)
  }

  func push() { Z3_solver_push(raw, theSolver()) }
  func pop() { Z3_solver_pop(raw, theSolver(), 1) }

  /// Limits a check.
  ///
  /// - Parameters:
  ///   - resources: Z3's own count of elementary steps (reproducible on any machine); 0 for no limit.
  ///   - milliseconds: Z3's time-out, which linear arithmetic may overrun: use a watchdog besides.
  func limit(resources: Int, milliseconds: Int?) {
    let parameters = Z3_mk_params(raw)
    Z3_params_inc_ref(raw, parameters)
    defer { Z3_params_dec_ref(raw, parameters) }
    // Z3 would take SIGINT for itself, end its check and let the search go on; it is a message to the whole command.
    Z3_params_set_bool(raw, parameters, Z3_mk_string_symbol(raw, "ctrl_c"), false)
    if resources > 0 {
      Z3_params_set_uint(
        raw, parameters, Z3_mk_string_symbol(raw, "rlimit"), UInt32(clamping: resources))
    }
    if let milliseconds {
      Z3_params_set_uint(
        raw, parameters, Z3_mk_string_symbol(raw, "timeout"), UInt32(clamping: max(1, milliseconds)))
    }
    Z3_solver_set_params(raw, theSolver(), parameters)
  }

  /// Checks what was asserted, under assumptions; at the deadline another thread interrupts Z3.
  func check(assumptions: [Term] = [], deadline: ContinuousClock.Instant? = nil) -> Satisfiability {
    let watchdog = deadline.map { Z3Watchdog(self, $0) }
    defer { watchdog?.stop() }
    var asts: [Z3_ast?] = assumptions.map(\.raw)
    let answer = Z3_solver_check_assumptions(raw, theSolver(), UInt32(asts.count), &asts)
    if answer == Z3_L_TRUE { return .satisfiable }
    if answer == Z3_L_FALSE { return .unsatisfiable }
    let reason = Z3_solver_get_reason_unknown(raw, theSolver()).map { String(cString: $0) } ?? "unknown"
    return .unknown(reason)
  }

  /// The positions of the assumptions that the last `unsatisfiable` answer used.
  func core(among assumptions: [Term]) -> [Int] {
    let vector = Z3_solver_get_unsat_core(raw, theSolver())
    Z3_ast_vector_inc_ref(raw, vector)
    defer { Z3_ast_vector_dec_ref(raw, vector) }
    var used: [Int] = []
    for i in 0..<Z3_ast_vector_size(raw, vector) {
      let member = Z3_ast_vector_get(raw, vector, i)
      if let position = assumptions.firstIndex(where: { Z3_is_eq_ast(raw, $0.raw, member) }) {
        used.append(position)
      }
    }
    return used.sorted()
  }

  /// The exact values of terms in the model of the last `satisfiable` answer.
  func values(of terms: [Term]) -> [Rational]? {
    guard let model = Z3_solver_get_model(raw, theSolver()) else { return nil }
    Z3_model_inc_ref(raw, model)
    defer { Z3_model_dec_ref(raw, model) }
    var result: [Rational] = []
    for term in terms {
      var value: Z3_ast?
      guard Z3_model_eval(raw, model, term.raw, true, &value), let value,
        let text = Z3_get_numeral_string(raw, value), let number = Rational(String(cString: text))
      else { return nil }
      result.append(number)
    }
    return result
  }

  /// The assertions as SMT-LIB 2 text.
  func smtlib() -> String {
    Z3_solver_to_string(raw, theSolver()).map { String(cString: $0) } ?? ""
  }

  /// Asserts SMT-LIB 2 text; false if it cannot be read.
  func assertText(_ text: String) -> Bool {
    Z3_solver_from_string(raw, theSolver(), text)
    return Z3_get_error_code(raw) == Z3_OK
  }

  /// Asks a running check to stop; it then answers `unknown`. May be called from any thread.
  func interrupt() { Z3_interrupt(raw) }
}

/// Interrupts a context from a deadline on, again and again until it obeys, from a thread of its own.
private final class Z3Watchdog: Sendable {
  private let alarm = Alarm()
  /// Held while interrupting: the context may be gone after `stop`.
  private let isStopped = Mutex(false)

  init(_ context: Z3Context, _ deadline: ContinuousClock.Instant) {
    // Only used to interrupt, which Z3 allows from other threads, and never after `stop`.
    nonisolated(unsafe) let raw = context.raw
    Thread.detachNewThread { [self] in
      while !alarm.wait(seconds: max(deadline.secondsLeft, 0.02)) {
        isStopped.withLock { if !$0 { Z3_interrupt(raw) } }
      }
    }
  }

  func stop() {
    isStopped.withLock { $0 = true }
    alarm.set()
  }
}
