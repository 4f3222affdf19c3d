/// A box of the search: the region, or what halving inputs left of it.
final class SplitBox: Sendable {
  let lower: [Double]
  let upper: [Double]
  let parent: SplitBox?
  private let depth: Int

  init(lower: [Double], upper: [Double], parent: SplitBox? = nil) {
    self.lower = lower
    self.upper = upper
    self.parent = parent
    depth = (parent?.depth ?? -1) + 1
  }

  /// The two halves, which share the plane between them.
  func halves(_ input: Int, at middle: Double) -> (SplitBox, SplitBox) {
    var (low, high) = (lower, upper)
    high[input] = middle
    let first = SplitBox(lower: lower, upper: high, parent: self)
    low[input] = middle
    return (first, SplitBox(lower: low, upper: upper, parent: self))
  }

  /// Whether the box is another one or came from it by halving.
  func isWithin(_ other: SplitBox) -> Bool {
    var box = self
    while box.depth > other.depth, let parent = box.parent { box = parent }
    return box === other
  }
}

/// A statement that the search has proven: in a box, under some decided phases, one clause of the violation cannot
/// hold. As a clause over phase literals, it says that one of the phases is the other one.
struct LearnedClause {
  /// `2 * variable + 1` for an active phase, `2 * variable` for an inactive one.
  typealias Literal = Int32

  var clause: Int
  /// Sorted.
  var literals: [Literal]
  var box: SplitBox
  /// What a certificate would have to say; nil where the statement came from Z3, of which certificates make no use.
  var reason: ProofLemma.Reason?
  /// The node of the certificate that it comes before.
  var place: Int

  static func literal(_ variable: Int, _ phase: Phase) -> Literal {
    Literal(2 * variable + (phase == .active ? 1 : 0))
  }
  static func variable(_ literal: Literal) -> Int { Int(literal >> 1) }
  static func phase(_ literal: Literal) -> Phase { literal & 1 == 1 ? .active : .inactive }

  static func literals(_ splits: [Int: Phase]) -> [Literal] {
    splits.map { literal($0.key, $0.value) }.sorted()
  }
}

/// All that a search has learned, and the part of it that is worth looking up.
struct ClauseStore {
  private(set) var all: [LearnedClause] = []
  /// By clause of the violation: what speaks of fewer phases than were decided when it was learned.
  private var active: [[Int]]
  private var hits: [Int: Int] = [:]
  /// The most that are looked up; beyond, those of the older half that never served are forgotten.
  private static let limit = 512

  init(clauses: Int) { active = [[Int]](repeating: [], count: clauses) }

  /// Keeps a statement and returns its number.
  mutating func add(_ learned: LearnedClause, isWorthLooking: Bool) -> Int {
    let number = all.count
    all.append(learned)
    if isWorthLooking {
      var list = active[learned.clause]
      if list.count >= Self.limit {
        let recent = list.count / 2
        list = list.enumerated().filter { $0.offset >= recent || hits[$0.element] != nil }.map(\.element)
        if list.count >= Self.limit { list.removeFirst(recent) }
      }
      list.append(number)
      active[learned.clause] = list
    }
    return number
  }

  mutating func noteHit(_ number: Int) { hits[number, default: 0] += 1 }

  func isEmpty(for clauses: [Int]) -> Bool { clauses.allSatisfy { active[$0].isEmpty } }

  /// What is known about a clause of the violation in a part of the search.
  struct Match {
    /// A statement that refutes the clause in the part.
    var refuted: Int?
    /// Literals that a statement lets follow: asserting one would refute the clause.
    var excluded: [LearnedClause.Literal: Int] = [:]
  }

  /// Looks a part up.
  ///
  /// - Parameter implied: Phases that bounds imply, besides the decided ones.
  func match(_ clause: Int, _ splits: [Int: Phase], _ box: SplitBox, implied: ((Int) -> Phase)? = nil)
    -> Match
  {
    var result = Match()
    for number in active[clause] {
      let learned = all[number]
      var missing: LearnedClause.Literal = -1
      var count = 0
      for literal in learned.literals {
        let v = LearnedClause.variable(literal)
        let phase = splits[v] ?? implied?(v) ?? .undecided
        if phase == LearnedClause.phase(literal) { continue }
        // The other phase satisfies the learned clause: it says nothing here.
        count += phase == .undecided ? 1 : 2
        if count > 1 { break }
        missing = literal
      }
      if count > 1 || !box.isWithin(learned.box) { continue }
      if count == 0 { return Match(refuted: number) }
      result.excluded[missing] = number
    }
    return result
  }
}
