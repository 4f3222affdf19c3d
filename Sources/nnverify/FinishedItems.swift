import Synchronization

/// What several threads have finished so far, by its place among all.
final class FinishedItems<Item: Sendable>: Sendable {
  private let items = Mutex<[Int: Item]>([:])

  func add(_ place: Int, _ item: Item) { items.withLock { $0[place] = item } }

  /// In the order of their places.
  var all: [Item] { items.withLock { $0.sorted { $0.key < $1.key }.map(\.value) } }
}
