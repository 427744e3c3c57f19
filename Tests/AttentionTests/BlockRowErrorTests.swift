import Attention
import Devices
import Tensors
import Testing

/// What plans refuse of block rows.
@Suite struct BlockRowErrorTests {
  @Test func boundsAndCompositionOfBlockRows() throws {
    typealias Failure = AttentionPlan.Failure
    let device = try CPUDevice(threads: 1)
    let shape = AttentionShape(queryHeads: 2, kvHeads: 2, headDimension: 8)
    let queries = try RaggedIndex(lengths: [1, 1])
    let table = try PageTable(raggedLengths: [9, 9], pageSize: 4)
    let rows = try BlockRows(selectingPerHead: [[[0], [1]], [[2], []]], queries: queries)
    let batch = try AttentionBatch(queries: queries, pages: table, rows: rows)
    func update(_ bounds: AttentionBounds?, _ composition: Composition? = nil) throws(Failure) {
      let plan = try AttentionPlan(device: device, shape: shape, bounds: bounds)
      try plan.update(batch, composition: composition)
    }
    // The pages that rows name count, not those of the table.
    var bounds = AttentionBounds(requests: 2, queryRows: 2, pages: 3, pageSize: 4, blockRows: 4)
    try update(bounds)
    func excess(_ what: String, _ value: WritableKeyPath<AttentionBounds, Int>) throws {
      let needed = bounds[keyPath: value]
      bounds[keyPath: value] = needed - 1
      var larger = bounds
      larger[keyPath: value] = needed
      let workspace = try AttentionPlan.workspaceSize(for: larger, device: device, shape: shape)
      #expect(
        throws: Failure.bound(what, limit: needed - 1, needed: needed, workspace: workspace)
      ) { try update(bounds) }
      bounds[keyPath: value] = needed
    }
    try excess("block rows", \.blockRows)
    try excess("pages", \.pages)
    let run = SharedRun(requests: [0, 1], keys: 0..<4)
    #expect(throws: Failure.blockRowComposition) { try update(nil, .explicit([run])) }
  }

  @Test func rowsForAnotherNumberOfHeads() throws {
    let device = try CPUDevice(threads: 1)
    let queries = try RaggedIndex(lengths: [1])
    let batch = try AttentionBatch(
      queries: queries, pages: PageTable(raggedLengths: [9], pageSize: 4),
      rows: BlockRows(selectingPerHead: [[[0], [1]]], queries: queries))
    for kvHeads in [1, 3] {
      let shape = AttentionShape(queryHeads: 6, kvHeads: kvHeads, headDimension: 8)
      #expect(
        throws: AttentionPlan.Failure.blockRowHeads(request: 0, expected: kvHeads, found: 2)
      ) { try AttentionPlan(device: device, shape: shape, batch: batch) }
    }
  }
}
