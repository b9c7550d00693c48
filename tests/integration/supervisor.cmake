# The supervisor's own integration test: a real synkd, driven over bare sockets.
add_executable(supervisor_driver integration/supervisor_driver.c)
set_target_properties(supervisor_driver PROPERTIES
                      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(supervisor_driver PRIVATE synk-proto PkgConfig::ZMQ)
add_test(NAME integration.supervisor COMMAND supervisor_driver $<TARGET_FILE:synkd>)
set_tests_properties(integration.supervisor PROPERTIES TIMEOUT 120 LABELS integration)
