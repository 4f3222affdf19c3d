/// A B-tree of version 1: the index of an old group's tables, or of a data set's chunks.
struct HDF5Tree {
  /// What a leaf points to, with the place of the key before it.
  struct Leaf {
    var key: Int
    var child: Int
  }

  private(set) var leaves: [Leaf] = []
  private let keySize: Int
  private let type: Int
  private var seen: Set<Int> = []

  /// Walks a tree. Levels fall by one from node to node and no node is visited twice, so the walk ends.
  init(_ bytes: HDF5Bytes, at root: Int, type: Int, keySize: Int) throws(FileError) {
    self.keySize = keySize
    self.type = type
    try bytes.expect("TREE", at: root)
    try walk(bytes, root, level: try bytes.byte(root + 5))
  }

  private mutating func walk(_ bytes: HDF5Bytes, _ node: Int, level: Int) throws(FileError) {
    try bytes.expect("TREE", at: node)
    guard try bytes.byte(node + 4) == type, try bytes.byte(node + 5) == level, level < 64,
      seen.insert(node).inserted
    else { throw bytes.damaged(node, "the HDF5 file is damaged: a tree has a wrong or repeated node") }
    let count = try bytes.integer(node + 6, size: 2)
    let first = node + 8 + 2 * bytes.addressSize
    for i in 0..<count {
      let key = first + i * (keySize + bytes.addressSize)
      let child = try bytes.definedAddress(key + keySize)
      if level > 0 {
        try walk(bytes, child, level: level - 1)
      } else {
        guard seen.insert(child).inserted else {
          throw bytes.damaged(child, "the HDF5 file is damaged: a tree holds something twice")
        }
        leaves.append(Leaf(key: key, child: child))
      }
    }
  }
}

/// The records of a B-tree of version 2: the index of a heap of links or attributes.
struct HDF5RecordTree {
  private(set) var records: [Range<Int>] = []
  private let recordSize: Int
  private let nodeSize: Int
  private var seen: Set<Int> = []

  init(_ bytes: HDF5Bytes, at header: Int, type: Int) throws(FileError) {
    try bytes.expect("BTHD", at: header)
    guard try bytes.byte(header + 5) == type else {
      throw bytes.damaged(header, "the HDF5 file is damaged: an index is of another kind")
    }
    nodeSize = try bytes.integer(header + 6, size: 4)
    recordSize = try bytes.integer(header + 10, size: 2)
    let depth = try bytes.integer(header + 12, size: 2)
    let count = try bytes.integer(header + 16 + bytes.addressSize, size: 2)
    guard recordSize > 0, nodeSize > 10, depth < 32 else {
      throw bytes.damaged(header, "the HDF5 file is damaged: an index has absurd sizes")
    }
    guard let root = try bytes.address(header + 16) else { return }
    try walk(bytes, root, count: count, depth: depth)
  }

  private mutating func walk(_ bytes: HDF5Bytes, _ node: Int, count: Int, depth: Int) throws(FileError) {
    guard seen.insert(node).inserted else {
      throw bytes.damaged(node, "the HDF5 file is damaged: an index goes round in circles")
    }
    try bytes.expect(depth == 0 ? "BTLF" : "BTIN", at: node)
    let all = try bytes.range(node + 6, count * recordSize)
    guard records.count + count <= ReaderLimits.groupMembers else {
      throw bytes.damaged(node, "an index has more than \(ReaderLimits.groupMembers) records")
    }
    records += (0..<count).map { i in
      (all.lowerBound + i * recordSize)..<(all.lowerBound + (i + 1) * recordSize)
    }
    if depth == 0 { return }
    // Counts are as wide as the most records of a leaf need; above leaves a total follows, as wide as its own most.
    let most = mostRecords(depth: depth, bytes)
    let countSize = Self.bytesNeeded(most[0])
    let totalSize = depth > 1 ? Self.bytesNeeded(most[depth - 1]) : 0
    var place = all.upperBound
    for _ in 0...count {
      let child = try bytes.definedAddress(place)
      let own = try bytes.integer(place + bytes.addressSize, size: countSize)
      try walk(bytes, child, count: own, depth: depth - 1)
      place += bytes.addressSize + countSize + totalSize
    }
  }

  /// The most records below a node of every depth.
  private func mostRecords(depth: Int, _ bytes: HDF5Bytes) -> [Int] {
    let leaf = (nodeSize - 10) / recordSize
    var most = [leaf]
    let countSize = Self.bytesNeeded(leaf)
    for level in 1...max(1, depth) {
      let pointer = bytes.addressSize + countSize + (level > 1 ? Self.bytesNeeded(most[level - 1]) : 0)
      let own = max(0, nodeSize - 10 - pointer) / (recordSize + pointer)
      let (below, overflow) = (own + 1).multipliedReportingOverflow(by: most[level - 1])
      most.append(overflow ? Int.max : below.addingReportingOverflow(own).overflow ? Int.max : below + own)
    }
    return most
  }

  /// Bytes that an unsigned number up to `limit` takes.
  static func bytesNeeded(_ limit: Int) -> Int {
    limit == 0 ? 1 : (Int.bitWidth - 1 - limit.leadingZeroBitCount) / 8 + 1
  }
}
