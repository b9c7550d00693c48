# Garbage on all sockets of a real synkd.
add_executable(garbage_driver integration/garbage_driver.c)
set_target_properties(garbage_driver PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(garbage_driver PRIVATE synk-proto PkgConfig::ZMQ)
add_dependencies(garbage_driver synkd)
add_test(NAME integration.garbage COMMAND garbage_driver $<TARGET_FILE:synkd> 4)
set_tests_properties(integration.garbage PROPERTIES TIMEOUT 60 LABELS integration)
