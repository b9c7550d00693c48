# Unit tests of what the command line has of its own take its sources.
target_sources(test_graph_layout PRIVATE ${CMAKE_SOURCE_DIR}/tools/synk/graph_layout.c)
target_sources(test_timeline PRIVATE ${CMAKE_SOURCE_DIR}/tools/synk/timeline.c)
